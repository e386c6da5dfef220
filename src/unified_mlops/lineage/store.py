"""Where observations are kept, and the graph that is projected from them.

Observations are append-only and unique by (collector, key, content). Nodes and edges are a
projection: they can be dropped and rebuilt, and come out the same whatever the order was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unified_mlops.lineage.database import Database
from unified_mlops.lineage.observe import as_row, keep
from unified_mlops.lineage.rows import Rows, edges_of, nodes_of, numbered
from unified_mlops.lineage.schema import LEVELS, kind_name, tables
from unified_mlops.lineage.stitch import RULES
from unified_mlops.records import Edge, Level, Node, Observation

if TYPE_CHECKING:
    from sqlalchemy import Connection

CHUNK = 5_000
"""Observations that are projected at a time."""
FORM = 1
"""The version of the projection: with another one, the graph is projected anew."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who says that an edge is there: the collector, the rule, and the native record."""

    collector: str
    rule: str
    key: str
    level: Level


class Store:
    """The graph database of one workspace, or one that several share.

    Args:
        place: the path of an SQLite file, made when something is written, or a PostgreSQL URL.
        without: stitch rules that are switched off.
    """

    def __init__(self, place: str | Path, without: Iterable[str] = ()) -> None:
        self.database = Database(place)
        self.without = frozenset(without)

    # --- writing ---------------------------------------------------------------------------

    def add(
        self,
        collector: str,
        observations: Iterable[Observation],
        cursor: str | None = None,
        source: str = "",
    ) -> int:
        """Keep what is new of these observations, with the cursor, in one transaction.

        Args:
            collector: who observed.
            observations: what was seen; repeats of what is kept add nothing.
            cursor: where the collector goes on next time.
            source: which of its stores the cursor is of.

        Returns:
            How many observations were new.
        """
        rows = [as_row(collector, observation) for observation in observations]
        if not rows and cursor is None:
            return 0
        with self.writing() as connection:
            new = keep(Rows(connection), rows)
            self._project(connection, new)
            if cursor is not None:
                kept = tables().tables["cursor"]
                name = f"{collector} {source}".strip()
                connection.execute(kept.delete().where(kept.c.collector == name))
                connection.execute(kept.insert().values(collector=name, value=cursor))
        return len(new)

    def rebuild(self) -> None:
        """Drop nodes and edges and project them again from the observations."""
        with self.writing() as connection:
            self._rebuild(connection)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction without other writers, on a graph projected as we project it."""
        with self.database.writing() as connection:
            made = connection.scalar(tables().tables["projection"].select())
            if made != self._form:
                self._rebuild(connection)
            yield connection

    @property
    def _form(self) -> str:
        return " ".join([str(FORM), *sorted(self.without)])

    def _rebuild(self, connection: Connection) -> None:
        every = tables().tables
        for name in ("node", "edge", "evidence", "alias", "claim", "unresolved", "projection"):
            connection.execute(every[name].delete())
        connection.execute(every["projection"].insert().values(made=self._form))
        kept = every["observation"]
        last = 0
        while True:
            query = kept.select().where(kept.c.id > last).order_by(kept.c.id).limit(CHUNK)
            rows = [dict(row) for row in connection.execute(query).mappings()]
            if not rows:
                break
            self._project(connection, rows)
            last = rows[-1]["id"]

    def _project(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        from unified_mlops.lineage.project import Projection

        projection = Projection(connection, self.without)
        for start in range(0, len(rows), CHUNK):
            projection.add(rows[start : start + CHUNK])

    # --- reading ---------------------------------------------------------------------------

    def cursors(self) -> dict[str, str]:
        """The cursor of each collector, and of each of its stores, that has been read."""
        return {row["collector"]: row["value"] for row in self._rows("cursor")}

    def nodes(self, uris: Iterable[str] | None = None) -> dict[str, Node]:
        """The nodes of these URNs, or all of them."""
        rows = self._tuples("node") if uris is None else self._tuples("node", uri=uris)
        return {item.uri: item for item in nodes_of(rows)}

    def numbered(self, ids: Iterable[int]) -> dict[str, Node]:
        """The nodes of these numbers, by their URNs, in this order."""
        from sqlalchemy import select

        wanted = list(ids)
        columns = list(tables().tables["node"].c)[:6]
        with self.database.reading() as connection:
            found = numbered(connection, select(*columns), columns[0])(wanted)
        if [row[0] for row in found] != wanted:
            by_number = {row[0]: row for row in found}
            found = [by_number[number] for number in wanted]
        return dict(zip([row[1] for row in found], nodes_of(found), strict=True))

    def called(self, name: str) -> list[Node]:
        """The nodes with a name."""
        return nodes_of(self._tuples("node", name=[name]))

    def count(self, table: str) -> int:
        """How many rows a table of the graph has."""
        from sqlalchemy import func, select

        if not self.database.exists:
            return 0
        with self.database.reading() as connection:
            query = select(func.count()).select_from(tables().tables[table])
            return int(connection.scalar(query) or 0)

    def edges(
        self, end: str | None = None, uris: Iterable[str] = (), level: Level = "inferred"
    ) -> list[Edge]:
        """The edges whose `end` (`source` or `target`) is one of these URNs, or all edges.

        Args:
            end: which end to match; None for all edges.
            uris: what it must be.
            level: the weakest evidence to take.
        """
        if end is None:
            rows = self._rows("edge", level=range(LEVELS.index(level) + 1))
        else:
            ids = {row["id"] for row in self._rows("node", uri=uris)}
            rows = self._rows("edge", **{end: ids})
        ends = {row[key] for row in rows for key in ("source", "target")}
        names = {row["id"]: row["uri"] for row in self._rows("node", id=ends)}
        weakest = LEVELS.index(level)
        kept = [row for row in rows if row["level"] <= weakest]
        sources, targets = ([names[row[key]] for row in kept] for key in ("source", "target"))
        what = ([row[key] for row in kept] for key in ("kind", "since", "until", "level"))
        return edges_of(sources, targets, *what)

    def evidence(self, edges: Iterable[Edge]) -> dict[tuple[str, str, str], tuple[Evidence, ...]]:
        """Who says that these edges exist, strongest first, by source, kind and target."""
        wanted = {(item.source, item.kind, item.target) for item in edges}
        uris = {uri for source, _, target in wanted for uri in (source, target)}
        ids = {row["uri"]: row["id"] for row in self._rows("node", uri=uris)}
        names = {number: uri for uri, number in ids.items()}
        sources = {ids[source] for source, *_ in wanted if source in ids}
        rows = [row for row in self._rows("evidence", source=sources) if row["target"] in names]
        said = self._by_id("observation", {row["observation"] for row in rows})
        found: dict[tuple[str, str, str], list[Evidence]] = {}
        for row in sorted(rows, key=lambda row: (row["level"], row["observation"])):
            who = said[row["observation"]]
            ends = (names[row["source"]], kind_name(row["kind"]), names[row["target"]])
            item = Evidence(who["collector"], row["rule"], who["key"], LEVELS[row["level"]])
            if ends in wanted and item not in found.setdefault(ends, []):
                found[ends].append(item)
        return {ends: tuple(items) for ends, items in found.items()}

    def unresolved(self) -> list[dict[str, str]]:
        """References that could not be resolved to a thing, and where they stand."""
        rows = self._rows("unresolved")
        said = self._by_id("observation", {row["observation"] for row in rows})
        latest: dict[tuple[str, str], list[Any]] = {}
        for row in self._rows("observation", key={row["key"] for row in said.values()}):
            latest.setdefault((row["collector"], row["key"]), []).append(row)
        found = []
        for record, told in latest.items():
            last = max(row["time"] or 0.0 for row in told)
            final = [row["id"] for row in told if (row["time"] or 0.0) == last]
            # what one telling of the record resolves is resolved
            texts = [{r["reference"] for r in rows if r["observation"] == one} for one in final]
            about = dict(zip(("collector", "key"), record, strict=True))
            found += [about | {"reference": text} for text in sorted(set.intersection(*texts))]
        return found + [
            {"collector": item["collector"], "key": item["key"], "reference": item["claim"]["name"]}
            for item in self.claims(0, 0)
            if not RULES[item["claim"]["rule"]].optional
        ]

    def claims(self, least: int, most: int = 2**31 - 1) -> list[dict[str, Any]]:
        """The claims whose names mean at least and at most so many things, and who made them."""
        if not self.database.exists:
            return []
        claim = tables().tables["claim"]
        with self.database.reading() as connection:
            chosen = connection.execute(claim.select().where(claim.c.found.between(least, most)))
            rows = list(chosen.mappings())
        said = self._by_id("observation", {row["observation"] for row in rows})
        return [
            {key: said[row["observation"]][key] for key in ("collector", "key")}
            | {"found": row["found"], "claim": json.loads(row["body"])}
            for row in rows
        ]

    def like(self, text: str) -> list[str]:
        """Some names of nodes that begin as a text does, for a hint."""
        node = tables().tables["node"]
        if not self.database.exists:
            return []
        with self.database.reading() as connection:
            query = node.select().where(node.c.name.startswith(text[:3], autoescape=True))
            return [row.name for row in connection.execute(query.limit(1000))]

    def aliases(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """What these names have been said to mean."""
        return [json.loads(row["body"]) for row in self._rows("alias", name=names)]

    def _by_id(self, table: str, ids: Iterable[int]) -> dict[int, Mapping[str, Any]]:
        return {row["id"]: row for row in self._rows(table, id=ids)}

    def _rows(self, table: str, **among: Iterable[Any]) -> list[dict[str, Any]]:
        """The rows of a table, or those where one column has one of some values."""
        if not self.database.exists:
            return []
        with self.database.reading() as connection:
            return list(Rows(connection).among(table, **among))

    def _tuples(self, table: str, **among: Iterable[Any]) -> list[tuple[Any, ...]]:
        if not self.database.exists:
            return []
        with self.database.reading() as connection:
            return list(Rows(connection).tuples(table, **among))
