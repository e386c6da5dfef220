"""Feast 0.67's own OpenLineage consumer and producer, and we."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from unified_mlops.lineage.openlineage.export import events
from unified_mlops.lineage.openlineage.load import COLLECTOR, observation, read
from unified_mlops.lineage.openlineage.naming import named, run_id
from unified_mlops.lineage.openlineage.send import post
from unified_mlops.lineage.store import Store
from unified_mlops.records import Edge, Node

from .conftest import FILE, MODEL, RUN, TABLE
from .test_load import ID, event
from .test_load import RUN as FOREIGN


@dataclass
class Feast:
    """Feast's lineage server on a port of its own, and the store behind it."""

    url: str
    store: Any


@pytest.fixture
def feast(tmp_path: Path) -> Iterator[Feast]:
    import uvicorn
    from fastapi import FastAPI
    from feast.openlineage.config import OpenLineageConfig
    from feast.openlineage.consumer import get_consumer_router
    from feast.openlineage.processor import OpenLineageProcessor
    from feast.openlineage.store import OpenLineageStore

    store = OpenLineageStore(connection_string=f"sqlite:///{tmp_path}/feast.db")
    store.initialize()
    app = FastAPI()
    router = get_consumer_router(OpenLineageConfig(), store, OpenLineageProcessor(store))
    app.include_router(router, prefix="/api/v1")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Feast(f"http://127.0.0.1:{port}", store)
    server.should_exit = True
    thread.join()
    store.engine.dispose()


def test_feasts_consumer_takes_our_events_and_answers_the_path_and_the_column_row(
    feast: Feast, nodes: dict[str, Node], edges: list[Edge], told: list[dict[str, Any]]
) -> None:
    assert post(events(nodes, edges), feast.url) == len(told)
    graph = feast.store.get_lineage_graph("dataset", *named(MODEL), direction="upstream")
    found = {(node["type"], node["name"]) for node in graph["nodes"]}
    assert found >= {("dataset", named(uri)[1]) for uri in (FILE, TABLE, MODEL)} | {("job", RUN)}
    assert not any("snapshot" in name for _, name in found)  # what watches is no ancestor
    [row] = feast.store.get_column_lineage(*named(MODEL), direction="upstream")
    assert (row["input_namespace"], row["input_name"], row["input_field"]) == (*named(FILE), "wind")
    assert row["output_field"] == "wind"
    [row] = feast.store.get_column_lineage(*named(FILE), direction="upstream")
    assert (row["input_name"], row["input_field"]) == (named(TABLE)[1], "speed")
    run = feast.store.get_run_detail(run_id(RUN))
    assert run["state"] == "COMPLETE"
    assert run["parent_run_id"] == run_id("mlflow://inst/experiment/1")


def test_an_export_that_is_repeated_adds_no_run_and_no_edge_to_feast(
    feast: Feast, tmp_path: Path, nodes: dict[str, Node], edges: list[Edge]
) -> None:
    post(events(nodes, edges), feast.url, tmp_path / "sent")
    before = feast.store.get_all_lineage_edges(), feast.store.get_runs()
    count = len(feast.store.get_events())
    assert post(events(nodes, edges), feast.url, tmp_path / "sent") == 0
    assert len(feast.store.get_events()) == count
    post(events(nodes, edges), feast.url)  # with no memory of what was sent
    ends = [{key: edge[key] for key in edge if "updated" not in key} for edge in before[0]]
    again = feast.store.get_all_lineage_edges()
    assert [{key: edge[key] for key in edge if "updated" not in key} for edge in again] == ends
    assert len(feast.store.get_runs()) == len(before[1])


def test_trap_08_feast_keeps_repeats_and_a_late_start_uncompletes_a_run_and_ours_does_not(
    tmp_path: Path,
) -> None:
    from feast.openlineage.processor import OpenLineageProcessor
    from feast.openlineage.store import OpenLineageStore

    late = [event("COMPLETE", "2024-01-01T12:00:00Z"), event("START", "2024-01-01T11:00:00Z")]
    theirs = OpenLineageStore(connection_string=f"sqlite:///{tmp_path}/feast.db")
    theirs.initialize()
    ours = Store(tmp_path / "ours.db")
    for one in [*late, late[0], late[1]]:
        OpenLineageProcessor(theirs).process_event(json.loads(json.dumps(one)))
        ours.add(COLLECTOR, [observation(one)])
    [run] = [run for run in theirs.get_runs() if run["run_id"] == ID]
    assert run["state"] == "START", "Feast mended: a late START un-completed a run"
    assert len(theirs.get_events()) == 4, "Feast mended: it kept an event twice"
    assert theirs.count_dataset_versions("warehouse", "db.t") == 2, "Feast mended: a version twice"
    theirs.engine.dispose()
    assert ours.nodes([FOREIGN])[FOREIGN].attributes["state"] == "COMPLETE"
    assert ours.count("observation") == 2


@pytest.fixture
def applied(tmp_path: Path) -> Path:
    """The events that Feast itself emits when two views of two files are applied."""
    from datetime import timedelta

    import pandas as pd
    from feast import (
        Entity,
        FeatureService,
        FeatureStore,
        FeatureView,
        Field,
        FileSource,
        ValueType,
    )
    from feast.types import Float64

    path = tmp_path / "events.jsonl"
    lines = [
        "project: flights",
        "provider: local",
        f"registry: {tmp_path}/registry.db",
        f"online_store: {{type: sqlite, path: {tmp_path}/online.db}}",
        "entity_key_serialization_version: 3",
        "openlineage: {enabled: true, transport_type: file}",
    ]
    (tmp_path / "feature_store.yaml").write_text("\n".join(lines))
    objects: list[Any] = []
    for name in ("weather", "planes"):
        key = Entity(name=f"{name}_key", join_keys=[f"{name}_id"], value_type=ValueType.STRING)
        frame = pd.DataFrame(
            {f"{name}_id": ["a"], "x": [1.0], "at": pd.to_datetime(["2024-01-01"])}
        )
        frame.to_parquet(tmp_path / f"{name}.parquet")
        file = str(tmp_path / f"{name}.parquet")
        source = FileSource(name=f"{name}_file", path=file, timestamp_field="at")
        schema = [Field(name="x", dtype=Float64)]
        view = FeatureView(
            name=name, entities=[key], ttl=timedelta(1), schema=schema, source=source
        )
        objects += [key, source, view]
    FeatureStore(tmp_path).apply([*objects, FeatureService(name="delay", features=objects[2::3])])
    files = sorted(tmp_path.glob("openlineage_events.json*"))  # one an event
    path.write_text("".join(f"{file.read_text().strip()}\n" for file in files))
    return path


def test_trap_07_feasts_apply_event_links_all_sources_with_all_views_and_we_link_none(
    applied: Path,
) -> None:
    told = [json.loads(line) for line in applied.read_text().splitlines()]
    [product] = [one for one in told if one["job"]["name"] == "feast_feature_views_flights"]
    inputs = {one["name"] for one in product["inputs"]}
    outputs = {one["name"] for one in product["outputs"]}
    assert inputs >= {"weather_file", "planes_file"}, "Feast mended: its apply event is a product"
    assert outputs >= {"weather", "planes"}, "Feast mended: its apply event is a product"
    seen = read(applied)
    assert {edge.kind for one in seen for edge in one.edges} <= {"FIELD"}
    kinds = {(node.name, node.kind) for one in seen for node in one.nodes}
    assert kinds - {("x", "column")} == {
        *(("weather", "feature_view"), ("planes", "feature_view"), ("delay", "feature_service")),
        *(("weather_file", "dataset"), ("planes_file", "dataset")),
    }
    files = {node.uri for one in seen for node in one.nodes if node.uri.startswith("file:")}
    assert files == {f"file://{applied.parent}/{name}.parquet" for name in ("weather", "planes")}
