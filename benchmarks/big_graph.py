"""A graph of a million nodes and five million edges, written straight into the tables.

It has 62 communities of ten layers; each node is made from five near ones of the layer before, so
that a leaf comes from some 1,600 nodes, and each community has one source of all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from unified_mlops.lineage.rows import Rows
from unified_mlops.lineage.store import Store

COMMUNITIES, LAYERS, WIDTH, PARENTS, REACH = 62, 10, 1600, 5, 20
COMMUNITY = LAYERS * WIDTH
HUBS = COMMUNITIES * COMMUNITY
"""The number of the first community's source; below it stand the nodes."""
_BATCH = 100_000


def uri(number: int) -> str:
    """The URN of a node by its number, from zero."""
    return f"file:///data/lake/table_{number:07d}.parquet"


def load(place: Path | str) -> Store:
    """The graph in a new database."""
    store = Store(place)
    store.add("bench", [], "0")
    with store.writing() as connection:
        rows = Rows(connection)
        for some in _batches(_nodes()):
            rows.insert("node", some)
        for community in range(COMMUNITIES):
            rows.insert("edge", [_edge(a, b) for a, b in pairs(community)])
    with store.database.reading() as connection:
        if connection.dialect.name == "postgresql":
            free = connection.execution_options(isolation_level="AUTOCOMMIT")
            free.exec_driver_sql("VACUUM ANALYZE")
        else:
            connection.exec_driver_sql("ANALYZE")
    return store


def one_community() -> list[tuple[int, int]]:
    """The edges of the first community."""
    return pairs(0)


def pairs(community: int) -> list[tuple[int, int]]:
    """The edges of a community, by the numbers of their ends."""
    chance = random.Random(community)
    first = community * COMMUNITY
    found = [(HUBS + community, first + place) for place in range(WIDTH)]
    for layer in range(1, LAYERS):
        for place in range(WIDTH):
            near = chance.sample(range(place - REACH, place + REACH), PARENTS)
            made = first + layer * WIDTH + place
            found += [(first + (layer - 1) * WIDTH + n % WIDTH, made) for n in near]
    return found


def _edge(a: int, b: int) -> dict[str, float]:
    return {"source": a + 1, "kind": 2, "target": b + 1, "since": 0, "until": 1e18, "level": 1}


def _nodes() -> Iterator[dict[str, object]]:
    for number in range(HUBS + COMMUNITIES):
        yield {
            **{"id": number + 1, "uri": uri(number), "kind": "dataset", "name": f"t{number}"},
            **{"attributes": "{}", "time": 1.7e9, "strength": 1, "told": 0, "said": ""},
        }


def _batches(rows: Iterator[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    batch: list[dict[str, object]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch
