"""A small graph: a file is read by a run in an experiment, which writes a model, with columns."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from unified_mlops.lineage.openlineage.export import events
from unified_mlops.lineage.openlineage.send import as_json
from unified_mlops.records import Edge, Node

FILE = "file:///data/flights 2013.parquet"
RUN = "mlflow:run/abc"
MODEL = "mlflow:model/m-1"
TABLE = "postgresql://host:5432/db/schema.weather"
EXPERIMENT = "mlflow://inst/experiment/1"
TIME = 1_700_000_000.0

NODES = [
    Node(FILE, "dataset", "flights", {}, TIME - 9),
    Node(f"{FILE}#wind", "column", "wind"),
    Node(f"{FILE}#a b", "column", "a b"),
    Node(TABLE, "dataset", "weather"),
    Node(f"{TABLE}#speed", "column", "speed"),
    Node(RUN, "run", "train", {"state": "COMPLETE"}, TIME),
    Node(EXPERIMENT, "experiment", "delay"),
    Node(MODEL, "model", "delay"),
    Node(f"{MODEL}#wind", "column", "wind"),
    Node("evidently:snapshot/1/metric/2", "alert", "wind drifts", {}, TIME + 5),
]
EDGES = [
    *(Edge(FILE, "FIELD", f"{FILE}#{name}") for name in ("wind", "a b")),
    Edge(TABLE, "FIELD", f"{TABLE}#speed"),
    Edge(MODEL, "FIELD", f"{MODEL}#wind"),
    Edge(FILE, "INPUT", RUN),
    Edge(RUN, "OUTPUT", MODEL),
    Edge(EXPERIMENT, "PARENT_OF", RUN),
    Edge(f"{FILE}#wind", "DERIVES", f"{MODEL}#wind"),
    Edge(TABLE, "DERIVES", FILE),
    Edge(f"{TABLE}#speed", "DERIVES", f"{FILE}#wind"),
    Edge(f"{FILE}#wind", "OBSERVES", "evidently:snapshot/1/metric/2"),
]


@pytest.fixture
def nodes() -> dict[str, Node]:
    return {node.uri: node for node in NODES}


@pytest.fixture
def edges() -> list[Edge]:
    return list(EDGES)


@pytest.fixture
def told(nodes: dict[str, Node], edges: list[Edge]) -> list[dict[str, Any]]:
    return plain(nodes, edges)


def plain(nodes: dict[str, Node], edges: Iterable[Edge]) -> list[dict[str, Any]]:
    """The events of a graph as plain values."""
    return [json.loads(as_json(event)) for event in events(nodes, edges)]
