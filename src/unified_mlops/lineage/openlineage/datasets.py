"""The datasets of one OpenLineage event: their names, their columns, and what they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from unified_mlops.errors import ArgumentError, LineageError
from unified_mlops.lineage.declare import edge_kind
from unified_mlops.lineage.openlineage.naming import OURS, urn_of
from unified_mlops.lineage.urn import canonical, column, is_column, owner, without_secrets
from unified_mlops.records import ARTIFACTS, Alias, Edge, EdgeKind, Node

RULE = "openlineage"
_FEAST = {
    "feast_featureView": "feature_view",
    "feast_featureService": "feature_service",
    "feast_dataSource": "dataset",
}
"""The facets by which Feast says what a dataset is."""


class Datasets:
    """What one event says of datasets.

    Args:
        ours: whether the event is one that we exported.

    Attributes:
        aliases: the names that the event gives to things that have another URN.
        unresolved: references that name nothing.
    """

    def __init__(self, ours: bool) -> None:
        self.aliases: list[Alias] = []
        self.unresolved: list[str] = []
        self._ours = ours
        self._known: dict[tuple[str, str], str | None] = {}
        self._nodes: dict[str, Node] = {}

    def add(self, dataset: Mapping[str, Any]) -> str | None:
        """The URN of a dataset of the event, which is described; None where it names nothing."""
        namespace, name = required(dataset, "namespace"), required(dataset, "name")
        facets = part(dataset, "facets")
        links = items(part(facets, "symlinks"), "identifiers")
        also = [(text(link, "namespace"), text(link, "name")) for link in links]
        uri = self.find(namespace, name, [*also, *_feast_path(facets)])
        if uri is None:
            return None
        shown = text(part(facets, "documentation"), "description") if self._ours else ""
        self._nodes[uri] = Node(uri, _kind(facets), without_secrets(shown or name))
        fields = [text(one, "name") for one in items(part(facets, "schema"), "fields")]
        for field in filter(None, fields):
            self.column(uri, field)
        if namespace != OURS and not uri.startswith("openlineage:"):
            alias = without_secrets(f"openlineage:{namespace}/{name}")
            self.aliases.append(Alias(alias, uri, fields=tuple(filter(None, fields)) or None))
        return uri

    def add_defined(self, datasets: Iterable[Mapping[str, Any]]) -> None:
        """Describe what Feast describes, and not what it mentions."""
        for dataset in datasets:
            if part(dataset, "facets").keys() & _FEAST.keys():
                self.add(dataset)

    def find(
        self, namespace: str, name: str, also: list[tuple[str, str]] | None = None
    ) -> str | None:
        """The URN of a dataset by its name, which the event may have described before."""
        pair = (namespace, name)
        if pair not in self._known:
            try:
                self._known[pair] = urn_of(namespace, name, also or ())
            except LineageError as error:
                self._known[pair] = None
                self.unresolved.append(f"{without_secrets(f'{namespace} {name}')}: {error.fact}")
        uri = self._known[pair]
        if uri and uri not in self._nodes:
            self._nodes[uri] = Node(uri, "dataset", without_secrets(name))
        return uri

    def column(self, uri: str, field: str) -> str:
        """The URN of a column, which is described."""
        target = column(uri, field)
        if target not in self._nodes:
            self._nodes[target] = Node(target, "column", field)
        return target

    def nodes(self) -> tuple[Node, ...]:
        """The datasets and their columns."""
        return tuple(self._nodes.values())

    def fields(self) -> Iterator[Edge]:
        """Which column belongs to what."""
        for uri in self._nodes:
            if is_column(uri):
                yield Edge(owner(uri), "FIELD", uri, "recorded", RULE)

    def derived(self, dataset: Mapping[str, Any]) -> Iterator[Edge]:
        """What a dataset's column lineage says."""
        facet = part(dataset, "facets", "columnLineage")
        target = self.find(required(dataset, "namespace"), required(dataset, "name"))
        if not target:
            return
        for field, made in part(facet, "fields").items():
            for one in items(made if isinstance(made, Mapping) else {}, "inputFields"):
                yield from self._joined(one, self._made(one, target, field))
        for one in items(facet, "dataset"):
            yield from self._joined(one, target)

    def explicit(self, facet: Mapping[str, Any], doer: str) -> Iterator[Edge]:
        """What a job's explicit lineage says of the job itself and of datasets.

        Args:
            facet: the `lineage` facet.
            doer: the URN of the run.
        """
        for entry in items(facet, "entries"):
            if entry.get("type") == "JOB" and not entry.get("name"):
                for one in items(entry, "inputs"):
                    yield from self._joined(one, doer, "INPUT")
            target = self._named(entry) if entry.get("type") == "DATASET" else None
            if target:
                for one in items(entry, "inputs"):
                    if one.get("type") == "JOB" and not one.get("name"):
                        yield Edge(doer, "OUTPUT", target, "recorded", RULE)
                    yield from self._joined(one, target)
                for field, made in part(entry, "fields").items():
                    for one in items(made if isinstance(made, Mapping) else {}, "inputs"):
                        yield from self._joined(one, self._made(one, target, field))

    def _made(self, source: Mapping[str, Any], target: str, field: str) -> str:
        """What a source was made into: a column, or the rows of the whole.

        Spark tells by which columns it filters, joins, groups and sorts again for each column of
        the output. Those say which rows there are, and give no column its values.
        """
        made = self.column(target, field)
        how = [text(one, "type").upper() for one in items(source, "transformations")]
        return target if how and set(how) == {"INDIRECT"} else made

    def _joined(
        self, source: Mapping[str, Any], target: str, kind: EdgeKind | None = None
    ) -> Iterator[Edge]:
        """The edge from a dataset, or from a field of it."""
        if source.get("type", "DATASET") != "DATASET":
            return
        if uri := self._named(source):
            field = text(source, "field")
            start = self.column(uri, field) if field else uri
            ends = (self._nodes[end].kind if end in self._nodes else "" for end in (start, target))
            yield Edge(start, kind or edge_kind(*ends), target, "recorded", RULE)

    def _named(self, entry: Mapping[str, Any]) -> str | None:
        namespace, name = text(entry, "namespace"), text(entry, "name")
        return self.find(namespace, name) if namespace and name else None


def _kind(facets: Mapping[str, Any]) -> str:
    for facet, kind in _FEAST.items():
        if facet in facets:
            return kind
    kind = text(part(facets, "datasetType"), "datasetType").lower()
    return kind if kind in ARTIFACTS else "dataset"


def _feast_path(facets: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The file of a source, which Feast names like itself and not like the file."""
    path = text(part(facets, "feast_dataSource"), "path")
    if "://" in path:
        return [(OURS, canonical(path))]
    return [("file", path)] if Path(path).is_absolute() else []


# --- reading what may be anything -----------------------------------------------------------------


def part(value: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """An object within an object; empty where there is none."""
    for key in keys:
        found = value.get(key)
        value = found if isinstance(found, Mapping) else {}
    return value


def items(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The objects in a list.

    Raises:
        ArgumentError: there is something else.
    """
    found = value.get(key) or []
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise ArgumentError(f"{key!r} is no list of objects", hint="send it as OpenLineage has it")
    return found


def text(value: Mapping[str, Any], key: str) -> str:
    """A text that every database takes; empty where there is none."""
    found = value.get(key)
    whole = found.replace("\0", "") if isinstance(found, str) else ""
    # JSON may hold half a character.
    return whole if whole.isascii() else whole.encode(errors="replace").decode()


def required(value: Mapping[str, Any], key: str) -> str:
    """A text that must be there.

    Raises:
        ArgumentError: it is not.
    """
    if not (found := text(value, key)):
        raise ArgumentError(f"{key!r} is missing", hint="send it as OpenLineage has it")
    return found
