"""Lineage as Feast's registry tells it: sources, views, services, and what was materialised.

A view's name means one definition now and another later; definitions are never changed. Only what
was not told before is told, so the cursor remembers what each name meant, and when we last looked.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from unified_mlops.records import Alias, Collection, Observation
from unified_mlops_feast.describe import materializations, meanings, things
from unified_mlops_feast.meaning import Meaning
from unified_mlops_feast.names import Names, digest
from unified_mlops_feast.stored import Settings, read
from unified_mlops_feast.timeline import history_of


@dataclass(frozen=True)
class Memory:
    """What the last look saw.

    Args:
        root: the project's URN; another registry begins anew.
        stored: the digest of the registry and its settings.
        looked: when it began.
        meant: by scope and name, the thing that it meant.
        told: digests of the observations.
    """

    root: str = ""
    stored: str = ""
    looked: float | None = None
    meant: Mapping[str, str] = field(default_factory=dict)
    told: frozenset[str] = frozenset()

    @classmethod
    def of(cls, cursor: str | None, root: str) -> Memory:
        """The memory that a cursor holds, where it is of this registry's project."""
        try:
            held = json.loads(cursor or "null")
        except ValueError:
            held = None
        if not isinstance(held, dict) or held.get("root") != root:
            return cls()
        return cls(**{**held, "told": frozenset(held["told"])})

    def cursor(self) -> str:
        """The memory as text."""
        return json.dumps({**vars(self), "told": sorted(self.told)}, separators=(",", ":"))


def collect(settings: Settings, cursor: str | None) -> Collection:
    """What the registry says that it did not say at the cursor.

    Raises:
        BackendError: the registry is locked, broken, out of reach or none.
    """
    root, looked = settings.names.root, time.time()
    memory, stored, now = Memory.of(cursor, root), read(settings), time.time()
    content = digest(stored.digest, dict(settings.offline))
    if memory.stored == content:
        return Collection((), replace(memory, looked=looked).cursor())
    found, memory = _changes(stored.registry(settings), settings.names, memory, now)
    return Collection(
        tuple(found), replace(memory, root=root, stored=content, looked=looked).cursor()
    )


def _changes(
    registry: Any, names: Names, memory: Memory, now: float
) -> tuple[list[Observation], Memory]:
    history = history_of(registry, names)
    meant = {meaning.key: meaning for meaning in meanings(history, names)}
    found = [
        *things(registry, history, names),
        *materializations(history, names, memory.meant, memory.looked, now),
    ]
    told = {_digest(each): each for each in found}
    new = [each for key, each in told.items() if key not in memory.told]
    new += _meanings(meant, memory, now)
    uris = {key: meaning.spans[-1].uri for key, meaning in meant.items()}
    return sorted(new, key=lambda each: each.key), replace(memory, meant=uris, told=frozenset(told))


def _meanings(meant: Mapping[str, Meaning], memory: Memory, now: float) -> Iterator[Observation]:
    for key, meaning in meant.items():
        aliases = meaning.aliases(memory.meant.get(key), memory.looked, now)
        if aliases:
            yield Observation(f"{key} means", aliases=aliases)
    for key in memory.meant.keys() - meant.keys():
        scope, _, name = key.partition(" ")
        yield Observation(f"{key} means", aliases=(Alias(name, "", scope, now, memory.looked),))


def _digest(observation: Observation) -> str:
    """Of what it says; a materialisation is told once, as what is known of it only fades."""
    once = "/materialization/" in observation.key
    said = observation.key if once else repr(observation)
    return hashlib.sha256(said.encode()).hexdigest()[:12]
