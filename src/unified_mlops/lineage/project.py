"""Projecting observations to the graph: nodes, edges, and what stitching adds.

Whatever the order in which observations come, the same graph comes out: of two descriptions of a
node the richer stands, then the later; an edge is as strong as its best evidence; and what a name
stands for is worked out anew when anything is learnt about that name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from unified_mlops.lineage.names import Meaning, look_up, meanings
from unified_mlops.lineage.rows import Rows, within
from unified_mlops.lineage.schema import ALWAYS, FOREVER, LEVELS, kind_number
from unified_mlops.lineage.stitch import RULES
from unified_mlops.lineage.urn import is_column
from unified_mlops.records import Alias, Claim, Edge, Level, Node

if TYPE_CHECKING:
    from sqlalchemy import Connection

STATE = "state"
"""The rule of edges between a name that is a URN and what it stood for."""
_ENDS = ("source", "kind", "target", "since")


@dataclass(frozen=True, slots=True)
class Evidence:
    """An edge as one observation says it, or as stitching made it out of a name (`origin`)."""

    edge: Edge
    observation: int
    origin: str = ""


class Projection:
    """The projection of some observations within one transaction.

    Args:
        connection: of a transaction that no other writer shares.
        without: the stitch rules that are switched off.
    """

    def __init__(self, connection: Connection, without: frozenset[str]) -> None:
        self._rows = Rows(connection)
        self._connection = connection
        self._without = without
        self._tables = self._rows.tables

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Project observations, given as rows of their table."""
        bodies = {row["id"]: json.loads(row["body"]) for row in rows}
        told = [item for row in rows for item in _described(row, bodies[row["id"]])]
        evidence = [
            Evidence(Edge(**edge), number)
            for number, body in bodies.items()
            for edge in body["edges"]
        ]
        names = self._keep_names(bodies)
        self._describe(told)
        self._connect(evidence)
        self._stitch(*names)

    # --- nodes -----------------------------------------------------------------------------

    def _describe(self, told: Iterable[Mapping[str, Any]]) -> None:
        """Insert nodes, or tell more of those that are there."""
        best: dict[str, dict[str, Any]] = {}
        for row in told:
            best[row["uri"]] = _richer(best.get(row["uri"]), row)
        old = {row["uri"]: row for row in self._rows.among("node", uri=best)}
        changed = [
            merged | {"b_uri": uri}
            for uri, row in best.items()
            if uri in old and (merged := _richer(old[uri], row)) != dict(old[uri])
        ]
        first = self._rows.next_id("node")
        fresh = [row for uri, row in best.items() if uri not in old]
        self._rows.insert("node", [{**row, "id": first + n} for n, row in enumerate(fresh)])
        if changed:
            from sqlalchemy import bindparam

            node = self._tables["node"]
            update = node.update().where(node.c.uri == bindparam("b_uri"))
            shown = ("kind", "name", "attributes", "time", "strength", "told", "said")
            self._connection.execute(
                update.values({name: bindparam(name) for name in shown}), changed
            )

    def _numbers(self, uris: Iterable[str]) -> dict[str, int]:
        """The numbers of nodes, which are made where nobody has described them yet."""
        wanted = set(uris)
        known = {row["uri"]: row["id"] for row in self._rows.among("node", uri=wanted)}
        if missing := wanted - known.keys():
            self._describe(_mentioned(uri) for uri in sorted(missing))
            known |= {row["uri"]: row["id"] for row in self._rows.among("node", uri=missing)}
        return known

    # --- edges -----------------------------------------------------------------------------

    def _connect(self, evidence: Iterable[Evidence]) -> None:
        """Insert evidence, and make each edge as strong as the best of it."""
        kept = [item for item in evidence if item.edge.rule not in self._without]
        numbers = self._numbers(end for e in kept for end in (e.edge.source, e.edge.target))
        rows = {}
        for item in kept:
            row = _evidence_row(item, numbers)
            rows[tuple(row[key] for key in (*_ENDS, "observation", "rule", "origin"))] = row
        self._rows.insert("evidence", list(rows.values()))
        self._strengthen(list(rows.values()))

    def _strengthen(self, rows: Sequence[Mapping[str, Any]]) -> None:
        bare = [{key: row[key] for key in (*_ENDS, "until", "level")} for row in rows]
        if bare:  # in one order, so that two writers on PostgreSQL cannot block each other
            bare.sort(key=lambda row: [row[key] for key in _ENDS])
            self._rows.keep_least("edge", bare, _ENDS)

    def _retract(self, origins: Iterable[str]) -> None:
        """Drop what stitching made out of these names; other evidence of the same edges stays."""
        from sqlalchemy import and_, bindparam, func, select

        evidence, edge = self._tables["evidence"], self._tables["edge"]
        gone = list(self._rows.among("evidence", origin=origins))
        if not gone:
            return
        made = within(self._connection, evidence.c.origin, origins)
        self._connection.execute(evidence.delete().where(made))
        ends = [{f"b_{key}": row[key] for key in _ENDS} for row in gone]
        match = and_(*(edge.c[key] == bindparam(f"b_{key}") for key in _ENDS))
        self._connection.execute(edge.delete().where(match), ends)
        keys = [evidence.c[key] for key in _ENDS]
        rest = (
            select(*keys, func.min(evidence.c.until), func.min(evidence.c.level))
            .where(*(evidence.c[key] == bindparam(f"b_{key}") for key in _ENDS))
            .group_by(*keys)
        )
        again = edge.insert().from_select([*_ENDS, "until", "level"], rest)
        self._connection.execute(again, list({tuple(e.values()): e for e in ends}.values()))

    # --- names -----------------------------------------------------------------------------

    def _keep_names(self, bodies: Mapping[int, Mapping[str, Any]]) -> tuple[set[str], list[Any]]:
        """Insert aliases and claims; the names that changed meaning, and the claims on others."""
        rows: dict[str, list[dict[str, Any]]] = {"alias": [], "claim": []}
        unresolved: list[dict[str, Any]] = []
        for number, body in bodies.items():
            for table, part in (("alias", "aliases"), ("claim", "claims")):
                for place, item in enumerate(body.get(part, ())):
                    row = {"observation": number, "place": place, "name": item["name"]}
                    rows[table].append(row | {"body": json.dumps(item)})
            unresolved += [
                {"observation": number, "place": place, "reference": text}
                for place, text in enumerate(body["unresolved"])
            ]
        for row in rows["claim"]:
            row["found"] = 0
        self._rows.insert("unresolved", unresolved)
        self._rows.insert("alias", rows["alias"])
        self._rows.insert("claim", rows["claim"])
        changed = {row["name"] for row in rows["alias"]}
        return changed, [row for row in rows["claim"] if row["name"] not in changed]

    def _stitch(self, changed: set[str], claims: list[Mapping[str, Any]]) -> None:
        """Join claims with aliases: all claims on names that changed, and the new ones."""
        self._retract(changed)
        claims = [*claims, *self._rows.among("claim", name=changed)]
        rows = list(self._rows.among("alias", name=changed | {row["name"] for row in claims}))
        said: dict[str, dict[Alias, int]] = {}
        for row in sorted(rows, key=lambda row: -row["observation"]):
            said.setdefault(row["name"], {})[_alias(row["body"])] = row["observation"]
        known = {name: list(meanings(aliases)) for name, aliases in said.items()}
        self._connect(self._settled(claims, known))
        self._connect(
            Evidence(edge, said[name][meaning.alias], name)
            for name in changed
            if _is_urn(name)
            for meaning in known[name]
            for edge in _states(name, meaning)
        )

    def _settled(
        self, rows: Sequence[Mapping[str, Any]], known: Mapping[str, Sequence[Meaning]]
    ) -> list[Evidence]:
        """The edges that claims stand for, noting how many things each may mean."""
        made, counts = [], []
        for row in rows:
            claim = Claim(**json.loads(row["body"]))
            found = look_up(claim, known.get(claim.name, ()))
            if len(found) != row["found"]:
                at = {"b_observation": row["observation"], "b_place": row["place"]}
                counts.append(at | {"found": len(found)})
            if claim.rule not in self._without:
                made += [
                    Evidence(edge, row["observation"], claim.name) for edge in _edges(claim, found)
                ]
        if counts:
            from sqlalchemy import bindparam

            table = self._tables["claim"]
            this = (table.c[key] == bindparam(f"b_{key}") for key in ("observation", "place"))
            update = table.update().where(*this).values(found=bindparam("found"))
            self._connection.execute(update, counts)
        return made


def _described(row: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The nodes that an observation describes: attributes tell most, a session says least."""
    for node in body["nodes"]:
        named = node["name"] not in ("", node["uri"])
        plain = int(named and row["collector"] != "session")
        yield {
            **{key: node[key] for key in ("uri", "kind", "name")},
            "attributes": json.dumps(node["attributes"], sort_keys=True),
            "time": node.get("time"),
            "strength": 2 if node["attributes"] else plain,
            "told": row["time"] or 0.0,
            "said": row["hash"],
        }


def _mentioned(uri: str) -> dict[str, Any]:
    """A node that an edge leads to, until somebody describes it."""
    kind, mark = ("column", "#") if is_column(uri) else ("unknown", "/")
    node = Node(uri, kind, uri.rpartition(mark)[2])
    return {
        **{"uri": uri, "kind": kind, "name": node.name, "attributes": "{}", "time": None},
        **{"strength": -1, "told": 0.0, "said": ""},
    }


def _richer(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> dict[str, Any]:
    """The better of two descriptions of a node, with the earlier of their times."""
    if old is None:
        return dict(new)

    def rank(row: Mapping[str, Any]) -> tuple[Any, ...]:
        keys = ("strength", "told", "said", "attributes", "name", "kind")
        return tuple(row[key] for key in keys)

    times = [row["time"] for row in (old, new) if row["time"] is not None]
    better = new if rank(new) > rank(old) else old
    return {**old, **better, "time": min(times, default=None)}


def _evidence_row(item: Evidence, numbers: Mapping[str, int]) -> dict[str, Any]:
    edge = item.edge
    return {
        "source": numbers[edge.source],
        "kind": kind_number(edge),
        "target": numbers[edge.target],
        "since": ALWAYS if edge.since is None else edge.since,
        "until": FOREVER if edge.until is None else edge.until,
        "level": LEVELS.index(edge.level),
        "observation": item.observation,
        "rule": edge.rule,
        "origin": item.origin,
    }


def _alias(body: str) -> Alias:
    stored = json.loads(body)
    fields = stored["fields"]
    return Alias(**stored | {"fields": None if fields is None else tuple(fields)})


def _is_urn(name: str) -> bool:
    return name.partition(":")[2].startswith("//")


def _states(name: str, meaning: Meaning) -> Iterator[Edge]:
    """What a name that is itself a URN stood for, as long as it did; what is in doubt, inferred."""
    for begin, end, sure in meaning.spans():
        since = None if begin == -inf else begin
        until = None if end == inf else end
        level: Level = "derived" if sure else "inferred"
        yield Edge(meaning.alias.uri, "DERIVES", name, level, STATE, since, until)


def _edges(claim: Claim, found: Sequence[str]) -> Iterator[Edge]:
    """An edge for each thing that a claim may mean; where it may mean several, none is sure."""
    sure = len(found) == 1
    level = RULES[claim.rule].level if sure else "inferred"
    rule = claim.rule if sure else f"{claim.rule} (one of {len(found)})"
    for uri in found:
        ends = (claim.thing, uri) if claim.down else (uri, claim.thing)
        yield Edge(ends[0], claim.kind, ends[1], level, rule, claim.since, claim.until)
