"""Where observations are kept, and the graph that is projected from them.

Observations are append-only and unique by (collector, key, content hash). Nodes and edges are a
projection: they can be dropped and rebuilt, and come out the same whatever the order was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unified_mlops.errors import store_error
from unified_mlops.lineage.urn import is_column
from unified_mlops.records import Edge, Level, Node, Observation

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData

LEVELS: tuple[Level, ...] = ("declared", "recorded", "derived", "inferred")
WAIT = 15
"""Seconds to wait for another process that writes."""
_BATCH = 300  # below SQLite's limit on bound variables


class Store:
    """The graph database of one workspace.

    Args:
        path: the SQLite file; its folder is made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    # --- writing ---------------------------------------------------------------------------

    def add(
        self, collector: str, observations: Iterable[Observation], cursor: str | None = None
    ) -> int:
        """Keep what is new of these observations, with the cursor, in one transaction.

        Args:
            collector: who observed.
            observations: what was seen; repeats of what is kept add nothing.
            cursor: where the collector goes on next time.

        Returns:
            How many observations were new.
        """
        rows = [_row(collector, observation) for observation in observations]
        if not rows and cursor is None:
            return 0
        with self._transaction() as connection:
            new = [row for row in rows if self._insert_new(connection, row)]
            self._project(connection, new)
            if cursor is not None:
                values = {"collector": collector, "value": cursor}
                self._upsert(connection, "cursor", [values], ("collector",), ("value",))
        return len(new)

    def rebuild(self) -> None:
        """Drop nodes and edges and project them again from the observations."""
        tables = self._metadata.tables
        with self._transaction() as connection:
            for name in ("node", "edge", "evidence", "unresolved"):
                connection.execute(tables[name].delete())
            kept = tables["observation"]
            rows = connection.execute(kept.select().order_by(kept.c.id)).mappings()
            self._project(connection, [dict(row) for row in rows])

    # --- reading ---------------------------------------------------------------------------

    def cursors(self) -> dict[str, str]:
        """The cursor of each collector that has run."""
        return {row["collector"]: row["value"] for row in self._rows("cursor")}

    def nodes(self, uris: Iterable[str] | None = None) -> dict[str, Node]:
        """The nodes of these URNs, or all of them."""
        if uris is None:
            rows: Iterable[Mapping[str, Any]] = self._rows("node")
        else:
            rows = self._rows_in("node", "uri", uris)
        return {
            row["uri"]: Node(row["uri"], row["kind"], row["name"], json.loads(row["attributes"]))
            for row in rows
        }

    def edges(
        self, end: str | None = None, uris: Iterable[str] = (), level: Level = "inferred"
    ) -> list[Edge]:
        """The edges whose `end` (`source` or `target`) is one of these URNs, or all edges.

        Args:
            end: which end to match; None for all edges.
            uris: what it must be.
            level: the weakest evidence to take.
        """
        rows = self._rows("edge") if end is None else self._rows_in("edge", end, uris)
        weakest = LEVELS.index(level)
        return [
            Edge(row["source"], row["kind"], row["target"], LEVELS[row["level"]])
            for row in rows
            if row["level"] <= weakest
        ]

    def evidence(self, edge: Edge) -> list[dict[str, str]]:
        """Who says that an edge exists: collector, rule and native record, strongest first."""
        ends = {"source": edge.source, "kind": edge.kind, "target": edge.target}
        return [
            {key: row[key] for key in ("collector", "rule", "key")}
            | {"level": LEVELS[row["level"]]}
            for row in sorted(self._rows("evidence", **ends), key=lambda row: row["level"])
        ]

    def unresolved(self) -> list[dict[str, str]]:
        """References that could not be resolved to a thing, and where they stand."""
        return [dict(row) for row in self._rows("unresolved")]

    # --- SQL -------------------------------------------------------------------------------

    @cached_property
    def _metadata(self) -> MetaData:
        return _schema()

    @cached_property
    def _engine(self) -> Engine:
        from sqlalchemy import create_engine, event

        self.path.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(f"sqlite:///{self.path}", connect_args={"timeout": WAIT})

        @event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _record: Any) -> None:
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
                connection.execute(f"PRAGMA {pragma}")

        self._metadata.create_all(engine)
        return engine

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        from sqlalchemy.exc import DatabaseError

        try:
            with self._engine.begin() as connection:
                yield connection
        except (DatabaseError, OSError) as error:
            mend = f"mv {self.path} {self.path}.bad, and then: umlops lineage collect"
            raise store_error(
                f"the lineage database {str(self.path)!r}", error, mend=mend
            ) from error

    def _rows(self, table: str, **equal: str) -> list[Mapping[str, Any]]:
        query = self._metadata.tables[table].select().filter_by(**equal)
        if not self.path.exists():
            return []
        with self._transaction() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _rows_in(self, table: str, column: str, uris: Iterable[str]) -> list[Mapping[str, Any]]:
        wanted = sorted(set(uris))
        target = self._metadata.tables[table]
        if not self.path.exists():
            return []
        found: list[Mapping[str, Any]] = []
        with self._transaction() as connection:
            for start in range(0, len(wanted), _BATCH):
                query = target.select().where(target.c[column].in_(wanted[start : start + _BATCH]))
                found += [dict(row) for row in connection.execute(query).mappings()]
        return found

    def _insert_new(self, connection: Connection, row: Mapping[str, Any]) -> bool:
        from sqlalchemy.dialects.sqlite import insert

        statement = insert(self._metadata.tables["observation"]).values(row)
        return bool(connection.execute(statement.on_conflict_do_nothing()).rowcount)

    def _project(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        nodes: list[dict[str, Any]] = []
        edges: list[dict[str, Any]] = []
        unresolved: list[dict[str, Any]] = []
        for row in rows:
            body = json.loads(row["body"])
            said = f"{row['collector']} {row['key']}"
            origin = {"collector": row["collector"], "key": row["key"]}
            met = (edge[end] for edge in body["edges"] for end in ("source", "target"))
            nodes += [_mentioned(uri, said) for uri in dict.fromkeys(met)]
            nodes += [_node_row(node, said) for node in body["nodes"]]
            edges += [_edge_row(edge) | origin for edge in body["edges"]]
            unresolved += [origin | {"reference": text} for text in body["unresolved"]]
        self._upsert(connection, "node", nodes, ("uri",), ("kind", "name", "attributes"))
        ends = ("source", "kind", "target")
        bare = [{key: row[key] for key in (*ends, "level")} for row in edges]
        self._upsert(connection, "edge", bare, ends, ("level",))
        self._upsert(connection, "evidence", edges, (*ends, "collector", "rule", "key"), ("level",))
        self._upsert(connection, "unresolved", unresolved, ("collector", "key", "reference"), ())

    def _upsert(
        self,
        connection: Connection,
        table: str,
        rows: list[dict[str, Any]],
        keys: tuple[str, ...],
        values: tuple[str, ...],
    ) -> None:
        """Insert rows; of two with one key the stronger stays, so that order does not matter."""
        from sqlalchemy import and_, or_
        from sqlalchemy.dialects.sqlite import insert

        if not rows:
            return
        target = self._metadata.tables[table]
        statement = insert(target)
        new, old = statement.excluded, target.c
        if table == "node":
            stronger = or_(
                new.strength > old.strength,
                and_(new.strength == old.strength, new.said <= old.said),
            )
            values = (*values, "strength", "said")
        elif "level" in values:
            stronger = new.level < old.level
        else:
            stronger = None
        if values:
            changes = {name: new[name] for name in values}
            merged = statement.on_conflict_do_update(
                index_elements=list(keys), set_=changes, where=stronger
            )
        else:
            merged = statement.on_conflict_do_nothing()
        connection.execute(merged, rows)


def _row(collector: str, observation: Observation) -> dict[str, Any]:
    body = json.dumps(asdict(observation) | {"key": None}, sort_keys=True, default=str)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return {"collector": collector, "key": observation.key, "hash": digest, "body": body}


def _node_row(node: Mapping[str, Any], said: str) -> dict[str, Any]:
    """A node with how much is known of it: attributes tell most, what a session says least."""
    named = node["name"] not in ("", node["uri"])
    strength = 2 if node["attributes"] else int(named and not said.startswith("session "))
    shown = {key: node[key] for key in ("uri", "kind", "name")}
    attributes = json.dumps(node["attributes"], sort_keys=True)
    return shown | {"attributes": attributes, "strength": strength, "said": said}


def _mentioned(uri: str, said: str) -> dict[str, Any]:
    """A node that an edge leads to, until somebody describes it."""
    kind, mark = ("column", "#") if is_column(uri) else ("unknown", "/")
    node = {"uri": uri, "kind": kind, "name": uri.rpartition(mark)[2], "attributes": {}}
    return _node_row(node, said) | {"strength": -1}


def _edge_row(edge: Mapping[str, Any]) -> dict[str, Any]:
    ends = {key: edge[key] for key in ("source", "kind", "target", "rule")}
    return ends | {"level": LEVELS.index(edge["level"])}


def in_column_plane(edge: Edge) -> bool:
    """Whether an edge starts at a column; `FIELD` edges join the planes and are in neither."""
    return is_column(edge.source)


def _schema() -> MetaData:
    from sqlalchemy import Column, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

    metadata = MetaData()

    def table(name: str, keys: tuple[str, ...], *others: Column[Any]) -> Table:
        columns = [Column(key, String, primary_key=True) for key in keys]
        return Table(name, metadata, *columns, *others)

    Table(
        "observation",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("collector", String, nullable=False),
        Column("key", String, nullable=False),
        Column("hash", String, nullable=False),
        Column("body", Text, nullable=False),
        UniqueConstraint("collector", "key", "hash"),
    )
    table(
        "node",
        ("uri",),
        *(Column(name, Text, nullable=False) for name in ("kind", "name", "attributes", "said")),
        Column("strength", Integer, nullable=False),
    )
    edge = table("edge", ("source", "kind", "target"), Column("level", Integer, nullable=False))
    Index("edge_by_target", edge.c.target, edge.c.kind, edge.c.source, edge.c.level)
    table(
        "evidence",
        ("source", "kind", "target", "collector", "rule", "key"),
        Column("level", Integer, nullable=False),
    )
    table("unresolved", ("collector", "key", "reference"))
    table("cursor", ("collector",), Column("value", Text, nullable=False))
    return metadata
