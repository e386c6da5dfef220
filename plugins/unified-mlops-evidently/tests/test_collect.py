"""Lineage out of workspaces, ours and those of people who never heard of us."""

import json
import os
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import MeanValue, RowCount, ValueDrift
from evidently.presets import DataDriftPreset
from evidently.sdk.models import ProjectModel
from evidently.tests import gte, lte
from evidently.ui.workspace import Workspace

from unified_mlops.lineage import urn
from unified_mlops.records import Score

# what Evidently leaves open when it stores the data of a run
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")


@pytest.fixture
def native(tmp_path):
    """An Evidently workspace filled with Evidently alone; returns it and its one run's id."""
    workspace = Workspace(str(tmp_path / "workspace" / "evidently"))
    project = workspace.add_project(ProjectModel(name="by hand"))
    rng = np.random.default_rng(0)
    definition = DataDefinition(numerical_columns=["x"], categorical_columns=["c"])

    def frame(mean):
        columns = {"x": rng.normal(mean, 1, 500), "c": rng.choice(["a", "b"], 500)}
        return Dataset.from_pandas(pd.DataFrame(columns), definition)

    metrics = [
        ValueDrift(column="x", method="psi", threshold=0.2),
        ValueDrift(column="c", method="chisquare", threshold=0.05),
        RowCount(tests=[gte(10_000)]),
    ]
    run = Report(metrics, include_tests=True).run(frame(2.0), frame(0.0))
    return workspace, project, workspace.add_run(project.id, run, include_data=True)


def collected(plugin, cursor=None):
    return plugin.mlops_collect_lineage(cursor)


def test_nothing_is_found_or_made_where_there_is_no_workspace(plugin, tmp_path):
    assert collected(plugin).observations == ()
    assert collected(plugin).cursor is None
    assert not (tmp_path / "workspace").exists()


def test_our_report_is_joined_by_its_metadata(plugin, subject, pair):
    report = plugin.mlops_run_monitor("delay", subject, *pair, {"carrier": 0.3, "late": 0.3})
    (seen,) = collected(plugin).observations
    reference, current = (record.ref.uri for record in pair)
    edges = {(edge.source, edge.kind, edge.target) for edge in seen.edges}
    (alert,) = report.alerts
    (fine,) = (node.uri for node in seen.nodes if node.name.endswith("'late'"))
    late = [urn.column(uri, "late") for uri in (reference, current)]
    assert seen.key == report.ref.uri
    assert edges == {
        (subject.ref.uri, "OBSERVES", report.ref.uri),
        (reference, "OBSERVES", report.ref.uri),
        (current, "OBSERVES", report.ref.uri),
        *((edge.source, edge.kind, edge.target) for edge in report.edges),
        (report.ref.uri, "DERIVES", fine),
        *((column, "OBSERVES", fine) for column in late),
        *((urn.owner(column), "FIELD", column) for column in late),
    }
    assert {(node.uri, node.kind) for node in seen.nodes} == {
        (report.ref.uri, "report"),
        (alert.ref.uri, "alert"),
        (fine, "report"),
        *((column, "column") for column in late),
        (reference, "dataset"),
        (current, "dataset"),
        (urn.column(reference, "carrier"), "column"),
        (urn.column(current, "carrier"), "column"),
    }
    assert seen.nodes[0].name.startswith("delay 20")


def test_what_a_compared_column_was_made_from_is_kept_with_the_report(plugin, subject, pair):
    origin = "feast://store/p/featureView/flights#carrier"
    current = replace(pair[1], columns={"carrier": (origin,), "other": ("file:///x#y",)})
    plugin.mlops_run_monitor("delay", subject, pair[0], current, {"carrier": 0.3})
    (seen,) = collected(plugin).observations
    derived = {(edge.source, edge.target) for edge in seen.edges if edge.kind == "DERIVES"}
    assert (origin, urn.column(current.ref.uri, "carrier")) in derived
    assert ("feast://store/p/featureView/flights", current.ref.uri) in derived
    assert not any("#y" in source for source, _ in derived)


def test_a_native_snapshot_is_a_report_with_its_alerts_and_nothing_guessed(plugin, native):
    _, _, run = native
    (seen,) = collected(plugin).observations
    report = f"evidently:snapshot/{run.id}"
    metrics = {node.name: node for node in seen.nodes if "/metric/" in node.uri}
    copies = {node.uri for node in seen.nodes if node.kind == "dataset"}
    assert seen.nodes[0].uri == report
    assert seen.nodes[0].name.startswith("by hand 20")
    written = json.loads(Path(run.url).read_text())["timestamp"]
    assert {node.time for node in seen.nodes if node.uri.startswith(report)} == {
        datetime.fromisoformat(written).timestamp()
    }
    assert {name: node.kind for name, node in metrics.items()} == {
        "by hand: Row count in dataset": "alert",
        "by hand: Value drift for x": "alert",
        "by hand: Value drift for c": "report",
    }
    assert len(copies) == 2
    columns = {f"by hand: Value drift for {name}": name for name in ("x", "c")}
    assert {(edge.source, edge.kind, edge.target) for edge in seen.edges} == {
        *((copy, "OBSERVES", report) for copy in copies),
        *((report, "DERIVES", node.uri) for node in metrics.values()),
        *((f"{c}#{x}", "OBSERVES", metrics[m].uri) for m, x in columns.items() for c in copies),
        *((copy, "FIELD", f"{copy}#{name}") for name in columns.values() for copy in copies),
    }


def test_native_scores_are_listed_where_a_high_one_is_bad(plugin, native):
    (report,) = plugin.mlops_list_reports("by hand")
    assert list(report.scores) == ["x"]  # not the p-value of c, nor the row count
    assert report.scores["x"].method == "psi"
    assert report.scores["x"].threshold == 0.2
    assert [alert.column for alert in report.alerts] == ["x"]


def test_a_native_preset_and_a_plain_test_are_read(plugin, native):
    workspace, _, _ = native
    project = workspace.add_project(ProjectModel(name="preset"))
    frame = pd.DataFrame({"x": np.arange(100.0)})
    report = Report([DataDriftPreset(), MeanValue(column="x", tests=[lte(10)])])
    workspace.add_run(project.id, report.run(frame, frame))
    (read,) = plugin.mlops_list_reports("preset")
    assert read.scores == {"x": Score("MeanValue", 49.5, 10.0)}


def test_a_native_run_with_our_metadata_is_joined(plugin, native):
    workspace, project, _ = native
    frame = pd.DataFrame({"x": np.arange(100.0)})
    metadata = {"unified_mlops.current": "s3://b/july"}
    run = Report([MeanValue(column="x", tests=[lte(10)])]).run(frame, metadata=metadata)
    report = f"evidently:snapshot/{workspace.add_run(project.id, run).id}"
    seen = {item.key: item for item in collected(plugin).observations}[report]
    (alert,) = [node.uri for node in seen.nodes if node.kind == "alert"]
    assert {(edge.source, edge.kind, edge.target) for edge in seen.edges} == {
        ("s3://b/july", "OBSERVES", report),
        (report, "DERIVES", alert),
        ("s3://b/july#x", "OBSERVES", alert),
        ("s3://b/july", "FIELD", "s3://b/july#x"),
    }


def test_a_monitor_goes_into_the_project_that_is_there(plugin, native, subject, pair):
    workspace, project, _ = native
    report = plugin.mlops_run_monitor("by hand", subject, *pair, {"late": 0.3})
    assert [str(p.id) for p in workspace.list_projects()] == [str(project.id)]
    assert report.ref.id in map(str, workspace.list_runs(project.id))
    assert len(plugin.mlops_list_reports("by hand")) == 2


def test_the_cursor_leaves_out_what_was_seen(plugin, native, subject, pair):
    first = collected(plugin)
    time.sleep(0.05)
    report = plugin.mlops_run_monitor("delay", subject, *pair, {"late": 0.3})
    second = collected(plugin, first.cursor)
    fresh = {seen.key for seen in second.observations} - {seen.key for seen in first.observations}
    assert fresh == {report.ref.uri}
    time.sleep(0.15)  # until then its tick may have more
    third = collected(plugin, second.cursor)
    begin = time.perf_counter()
    fourth = collected(plugin, third.cursor)
    assert (fourth.observations, fourth.cursor) == ((), third.cursor)
    assert time.perf_counter() - begin < 0.2
    assert len(collected(plugin).observations) == 2


def test_a_snapshot_copied_in_with_its_old_date_is_found(plugin, native):
    file = Path(native[-1].url)
    cursor = collected(plugin).cursor
    time.sleep(0.05)
    copy = file.with_name("00000000-0000-7000-8000-000000000001.json")
    copy.write_text(file.read_text())
    os.utime(copy, (0, 0))
    keys = [seen.key for seen in collected(plugin, cursor).observations]
    assert f"evidently:snapshot/{copy.stem}" in keys


def test_a_file_still_being_written_is_read_when_it_is_whole(plugin, native):
    file = Path(native[-1].url)
    whole = file.read_text()
    file.write_text(whole[:1000])
    first = collected(plugin)
    assert first.observations == ()
    assert file.name in str(first.problems[0])
    file.write_text(whole)
    assert len(collected(plugin, first.cursor).observations) == 1


def test_a_renamed_project_renames_its_reports(plugin, native):
    _, project, _ = native
    cursor = collected(plugin).cursor
    time.sleep(0.05)
    project.name = "renamed"
    project.save()
    (seen,) = collected(plugin, cursor).observations
    assert seen.nodes[0].name.startswith("renamed 20")


def test_what_is_collected_is_plain_json(plugin, native, subject, pair):
    plugin.mlops_run_monitor("delay", subject, *pair, {"carrier": 0.3})
    for seen in collected(plugin).observations:
        json.dumps([dict(node.attributes) for node in seen.nodes], allow_nan=False)
