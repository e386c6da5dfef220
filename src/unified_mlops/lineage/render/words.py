"""What every way of showing a walk says in the same words."""

from __future__ import annotations

from datetime import datetime

from unified_mlops.lineage.subgraph import Subgraph
from unified_mlops.lineage.urn import is_column, owner
from unified_mlops.records import Edge

TRUNCATED = "truncated: the graph goes on"


def title(subgraph: Subgraph, uri: str) -> str:
    """What a person calls a node: its name, and for a column also what it belongs to."""
    name = subgraph.nodes[uri].name
    if not is_column(uri):
        return name or uri
    thing = owner(uri)
    table = subgraph.nodes[thing].name if thing in subgraph.nodes else thing.rpartition("/")[2]
    return f"{table}#{uri.rpartition('#')[2]}"


def summary(subgraph: Subgraph) -> str:
    """How much a walk met, guesses counted apart, and whether it met everything."""
    edges = subgraph.edges
    inferred = sum(edge.level == "inferred" for edge in edges)
    text = f"{_count(len(subgraph.nodes), 'node')}, {_count(len(edges) - inferred, 'edge')}"
    if inferred:
        text += f" and {inferred} inferred"
    return f"{text}; {TRUNCATED}" if subgraph.truncated else text


def interval(edge: Edge) -> str:
    """For how long an edge is so, in local dates; empty where it always is."""
    since, until = edge.since, edge.until
    if since is None and until is None:
        return ""
    if since is None:
        return f"until {_local(until)}"
    if until is None:
        return f"since {_local(since)}"
    start, end = _local(since), _local(until)
    if start == end:  # the day says nothing of what came and went on it
        start, end = _local(since, "minutes"), _local(until, "minutes")
    return f"{start} \N{EN DASH} {end}"


def printable(text: str) -> str:
    """A name without what steers a terminal or turns the direction of writing."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _local(time: float | None, upto: str = "") -> str:
    try:
        moment = datetime.fromtimestamp(time or 0.0)
    except (ValueError, OverflowError, OSError):  # such as milliseconds taken for seconds
        return str(time)
    return moment.isoformat(" ", upto) if upto else moment.date().isoformat()
