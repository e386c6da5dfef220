"""What MLflow's registry says: models, versions, and what their aliases meant and when.

MLflow gives no time to a change of an alias, and forgets what was deleted. So the cursor remembers
what the last look saw, and what differs now has changed between the two. A registered model that
was deleted and made anew counts its versions from 1 again: those carry their creation in their URN.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from unified_mlops.lineage import urn
from unified_mlops.records import Alias, Edge, Node, Observation
from unified_mlops_mlflow import hygiene, registry
from unified_mlops_mlflow.collect_models import Models, fields
from unified_mlops_mlflow.convert import (
    LOGGED_MODEL,
    instance_uri,
    model_uri,
    registered_uri,
    run_uri,
)
from unified_mlops_mlflow.cursor import Cursor, numbers, ranges

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

Memory = dict[tuple[str, str], tuple[int, float]]
"""By model and alias: a version, and when this process first saw that the alias meant it."""
Found = Iterator[tuple[Observation, int]]
"""Observations, each with the milliseconds of its record's last change."""


class RegistryReader:
    """One look at the whole registry.

    Args:
        client: of the store.
        instance: the store's short name.
        models: the store's logged models.
        seen: what the last look saw.
        memory: what each alias meant at this process's looks, and since which of them.
    """

    def __init__(
        self,
        client: MlflowClient,
        instance: str,
        models: Models,
        seen: Cursor,
        memory: Memory,
    ) -> None:
        self._instance = instance
        self._models = models
        self._seen = seen
        self._memory = memory
        families = registry.pages(client.search_registered_models)
        self.families: dict[str, RegisteredModel] = {family.name: family for family in families}
        self.versions: dict[tuple[str, int], ModelVersion] = {
            (version.name, int(version.version)): version
            for version in registry.pages(client.search_model_versions)
            if version.name in self.families
        }
        self.now = time.time()
        self._memorize()
        known = self._seen.versions.items()
        told = {(name, number) for name, text in known for number in numbers(text)}
        self._anew = {
            name: family.creation_timestamp / 1000
            for name, family in self.families.items()
            if self._seen.made.get(name, family.creation_timestamp) != family.creation_timestamp
        }
        here = {(name, number) for name, number in self.versions if name not in self._anew}
        self._lost = sorted(told - here)
        self.gone = set(self._seen.gone) | {f"{n}/{v}" for n, v in self._lost}

    def _memorize(self) -> None:
        for name, family in self.families.items():
            for alias, text in family.aliases.items():
                number, first = self._memory.get((name, alias), (0, 0.0))
                if number != int(text) or first < self._made(name, number):
                    self._memory[name, alias] = int(text), self.now

    def seen(self) -> Cursor:
        """The cursor with what is to be remembered of this look."""
        own: dict[str, list[int]] = {}
        for name, number in self.versions:
            own.setdefault(name, []).append(number)
        aliases = {
            name: {alias: int(number) for alias, number in sorted(family.aliases.items())}
            for name, family in sorted(self.families.items())
            if family.aliases
        }
        return replace(
            self._seen,
            versions={name: ranges(own[name]) for name in sorted(own)},
            aliases=aliases,
            made={name: self.families[name].creation_timestamp for name in sorted(self.families)},
            gone=tuple(sorted(self.gone)),
        )

    def changed(self) -> Found:
        """The models and versions that were changed since the cursor."""
        for name, family in self.families.items():
            uri, made = registered_uri(self._instance, name), family.creation_timestamp
            at = max(made, family.last_updated_timestamp or 0)
            node = Node(uri, "registered_model", hygiene.clean(name), time=made / 1000)
            if at >= self._seen.since:
                yield Observation(uri, (node,), time=at / 1000), at
        for version in self.versions.values():
            at = max(version.creation_timestamp, version.last_updated_timestamp or 0)
            if at >= self._seen.since:
                yield self._version(version, at), at

    def moved(self) -> Iterator[Observation]:
        """What became of aliases and versions between the last look and this one."""
        for name, number in self._lost:
            text, uri = f"models:/{name}/{number}", registered_uri(self._instance, name)
            since = self._anew.get(name, self.now)  # the old one was gone by then
            ended = self._alias(text, "", since=since, after=self._seen.looked)
            yield Observation(f"{uri}/{number}/deleted", aliases=(ended,))
        for name in sorted(self.families.keys() | self._seen.aliases.keys()):
            family = self.families.get(name)
            new: Mapping[str, int] = family.aliases if family else {}
            old = self._seen.aliases.get(name, {})
            for alias in sorted(new.keys() | old.keys()):
                now = int(new[alias]) if alias in new else None
                if now != old.get(alias) or name in self._anew:
                    key = f"{registered_uri(self._instance, name)}@{alias}"
                    yield Observation(key, aliases=tuple(self._meanings(name, alias, now)))

    def _meanings(self, name: str, alias: str, number: int | None) -> Iterator[Alias]:
        """What an alias means from now on, and what it may have meant before.

        At the first look that may be any other version, from its creation on; later it is what the
        last look saw. Where there is no other, it is taken to have meant this one all along.
        """
        text, looked = f"models:/{name}@{alias}", self._seen.looked
        if number is None:
            yield self._alias(text, "", since=self.now, after=looked)
            return
        first = self._memory[name, alias][1]
        others = [v for n, v in self.versions if n == name and v != number and looked is None]
        for other in others:
            yield self._meant(text, name, other, since=self._made(name, other), until=first)
        moved = others or alias in self._seen.aliases.get(name, {})
        after = max(looked or 0, self._made(name, number))
        since = max(first, after) if moved else after
        yield self._meant(text, name, number, since=since, after=after)

    def _meant(self, text: str, name: str, number: int, **times: float) -> Alias:
        """A name of a version, which has that version's columns."""
        version = self.versions.get((name, number))
        columns = self._columns(version) if version else ()
        return self._alias(text, self._uri(name, number), columns=columns, **times)

    def _uri(self, name: str, number: int) -> str:
        """The URN of a version; one whose number has been used before is told apart from that."""
        uri, version = registered_uri(self._instance, name, str(number)), (name, number)
        if f"{name}/{number}" in self.gone and version in self.versions:
            return urn.definition(uri, str(self.versions[version].creation_timestamp))
        return uri

    def _made(self, name: str, number: int) -> float:
        version = self.versions.get((name, number))
        return version.creation_timestamp / 1000 if version else 0.0

    def _alias(
        self,
        name: str,
        uri: str,
        *,
        since: float | None = None,
        after: float | None = None,
        until: float | None = None,
        columns: Sequence[str] = (),
    ) -> Alias:
        scope = instance_uri(self._instance)
        return Alias(name, uri, scope, since, after, until, tuple(columns) or None)

    # --- versions --------------------------------------------------------------------------

    def _version(self, version: ModelVersion, at: int) -> Observation:
        name, number = version.name, str(version.version)
        uri, made = self._uri(name, int(number)), version.creation_timestamp / 1000
        nodes = [Node(uri, "model_version", hygiene.clean(f"{name}@{number}"), time=made)]
        edges = [Edge(registered_uri(self._instance, name), "VERSION_OF", uri)]
        columns = self._columns(version)
        unresolved = [*self._models.trouble(version.source or "", f"model version {name}@{number}")]
        if (origin := self._origin(version)) is None:
            source = hygiene.clean(version.source or "")
            unresolved.insert(0, f"model version {name}@{number}: nothing says who made {source!r}")
        else:
            edges.append(Edge(origin, "OUTPUT" if _is_run(origin) else "DERIVES", uri))
        for node, edge in fields(uri, columns):
            nodes.append(node)
            edges.append(edge)
            if origin and not _is_run(origin):
                above = urn.column(origin, node.name)
                edges.append(Edge(above, "DERIVES", node.uri, "derived", "signature-column"))
        since = made if f"{name}/{number}" in self.gone else None
        alias = self._alias(f"models:/{name}/{number}", uri, since=since, columns=columns)
        told = tuple(nodes), tuple(edges), tuple(unresolved), (alias,)
        return Observation(uri, *told, time=at / 1000)

    def _origin(self, version: ModelVersion) -> str | None:
        """What a version was made from; MLflow leaves `model_id` empty, so its source is parsed."""
        source = version.source or ""
        if source.startswith(LOGGED_MODEL):
            return model_uri(source.removeprefix("models:/").partition("/")[0])
        if source.startswith("models:/") and source.count("/") == 2:  # a copy of another version
            if (original := self._copied(version)) is not None:
                return self._uri(original.name, int(original.version))
            name, _, number = source.removeprefix("models:/").partition("/")
            return registered_uri(self._instance, name, number)
        if source.startswith("runs:/"):
            return run_uri(source.removeprefix("runs:/").partition("/")[0])
        return run_uri(version.run_id) if version.run_id else None

    def _columns(self, version: ModelVersion) -> tuple[str, ...]:
        source = version.source or ""
        if source.startswith(LOGGED_MODEL):
            return self._models.columns(source.removeprefix("models:/").partition("/")[0])
        if (original := self._copied(version)) is not None:
            return self._columns(original)
        return self._models.columns_at(source) if source else ()

    def _copied(self, version: ModelVersion) -> ModelVersion | None:
        """The version that one is a copy of, unless what is called so now was made later."""
        name, _, number = (version.source or "").removeprefix("models:/").partition("/")
        found = self.versions.get((name, int(number))) if number.isdigit() else None
        later = found is not None and found.creation_timestamp > version.creation_timestamp
        return None if found is version or later else found


def _is_run(uri: str) -> bool:
    return uri.startswith(run_uri(""))
