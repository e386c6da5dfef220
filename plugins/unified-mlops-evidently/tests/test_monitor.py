"""Monitoring against the real Evidently and its own workspace."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from evidently.ui.workspace import Workspace

from unified_mlops.errors import ArgumentError, ArgumentTypeError, BackendError, NotFoundError
from unified_mlops.lineage import urn
from unified_mlops.records import DatasetRecord, Edge, Ref, Score
from unified_mlops_evidently import tables
from unified_mlops_evidently.plugin import EvidentlyPlugin

THRESHOLDS = {"month": 0.0, "carrier": 0.3, "distance": 0.3, "late": 0.3}


@pytest.fixture
def report(plugin, subject, pair):
    return plugin.mlops_run_monitor("delay", subject, *pair, THRESHOLDS)


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix == ".json")


def test_every_column_gets_a_score_in_the_order_of_the_thresholds(report):
    assert list(report.scores.items()) == [
        ("month", Score("jensen_shannon_divergence", 0.0, 0.0)),
        ("carrier", Score("l_infinity", 0.5, 0.3)),
        ("distance", Score("jensen_shannon_divergence", 1.0, 0.3)),
        ("late", Score("l_infinity", 0.0, 0.3)),
    ]
    assert report.monitor == "delay"
    assert report.time.tzinfo is not None


def test_scores_above_their_threshold_alert(report):
    assert [(alert.column, alert.score.value) for alert in report.alerts] == [
        ("carrier", 0.5),
        ("distance", 1.0),
    ]
    for alert in report.alerts:
        assert alert.ref.kind == "alert"
        assert alert.ref.uri.startswith(f"{report.ref.uri}/metric/")


def test_threshold_zero_alerts_on_any_distance_and_on_no_other(plugin, subject, pair):
    report = plugin.mlops_run_monitor("zero", subject, *pair, {"carrier": 0, "late": 0})
    assert [alert.column for alert in report.alerts] == ["carrier"]


def test_score_equal_to_its_threshold_does_not_alert(plugin, subject, pair):
    report = plugin.mlops_run_monitor("edge", subject, *pair, {"carrier": 0.5, "distance": 1})
    assert report.alerts == ()


def test_report_carries_the_column_edges_of_its_alerts(report, pair):
    reference, current = (record.ref.uri for record in pair)
    alert = report.alerts[0]
    edges = {(edge.source, edge.kind, edge.target) for edge in report.edges}
    assert set(alert.edges) <= set(report.edges)
    assert edges >= {
        (report.ref.uri, "DERIVES", alert.ref.uri),
        (urn.column(current, "carrier"), "OBSERVES", alert.ref.uri),
        (urn.column(reference, "carrier"), "OBSERVES", alert.ref.uri),
        (current, "FIELD", urn.column(current, "carrier")),
        (reference, "FIELD", urn.column(reference, "carrier")),
    }
    assert not [edge for edge in edges if edge[2].endswith("#month")]


def test_evidently_itself_shows_project_scores_tests_and_metadata(
    plugin, report, tmp_path, subject, pair
):
    workspace = Workspace(str(tmp_path / "workspace" / "evidently"))
    (project,) = workspace.list_projects()
    assert project.name == "delay"
    (id_,) = workspace.list_runs(project.id)
    assert str(id_) == report.ref.id
    model = workspace.get_run(project.id, id_)
    found = {
        result.metric_value_location.metric.params["column"]: (result.value, result.tests[0].status)
        for result in model.metric_results.values()
    }
    assert {column: value for column, (value, _) in found.items()} == {
        column: score.value for column, score in report.scores.items()
    }
    failed = [column for column, (_, status) in found.items() if status.value == "FAIL"]
    assert failed == [alert.column for alert in report.alerts]
    assert model.metadata == {
        "unified_mlops.subject": subject.ref.uri,
        "unified_mlops.reference": pair[0].ref.uri,
        "unified_mlops.current": pair[1].ref.uri,
        "unified_mlops.origins": "{}",
    }
    assert model.tags == ["unified_mlops"]


def test_native_report_draws_both_distributions_and_saves_as_html(plugin, report, tmp_path):
    snapshot = plugin.mlops_get_native(report.ref)
    widgets = {result.display_name: result.widget for result in snapshot.metric_results.values()}
    graph = widgets["L-infinity distance of 'carrier'"][1].params
    drawn = {bar["name"]: dict(zip(bar["x"], bar["y"], strict=True)) for bar in graph["data"]}
    assert drawn == {
        "reference": {"AA": 0.5, "UA": 0.5, "B6": 0.0},
        "current": {"AA": 0.5, "UA": 0.0, "B6": 0.5},
    }
    snapshot.save_html(str(tmp_path / "report.html"))
    assert "Jensen-Shannon divergence of" in (tmp_path / "report.html").read_text()


def test_native_alert_is_the_metric_result(plugin, report):
    alert = report.alerts[0]
    assert plugin.mlops_get_native(alert.ref).value == alert.score.value


def test_native_of_an_unknown_snapshot_is_not_found(plugin):
    with pytest.raises(NotFoundError, match="no snapshot 'gone'"):
        plugin.mlops_get_native(Ref("evidently", "report", "gone", "evidently:snapshot/gone"))


def test_reports_are_listed_as_they_were_returned_oldest_first(plugin, subject, pair, report):
    second = plugin.mlops_run_monitor("delay", subject, *pair, {"late": 0.1})
    plugin.mlops_run_monitor("another", subject, *pair, {"late": 0.1})
    assert plugin.mlops_list_reports("delay") == [report, second]
    assert plugin.mlops_list_reports("unknown") == []


def test_all_rows_are_scored_and_a_sample_is_drawn(tmp_path, dataset, subject):
    plugin = EvidentlyPlugin(tmp_path / "workspace", sample="10")
    # the reference says a, the current data b in one row of a thousand
    reference, current = (
        dataset("train", {"x": ["a"] * 1000}),
        dataset("july", {"x": ["a"] * 999 + ["b"]}),
    )
    report = plugin.mlops_run_monitor("rare", subject, reference, current, {"x": 0.0005})
    assert report.scores["x"].value == pytest.approx(0.001)
    assert [alert.column for alert in report.alerts] == ["x"]
    before, _ = tables.load(reference.ref.uri, current.ref.uri, ["x"])
    assert len(tables.sample(before, 10)) == 10


def test_unusual_columns_are_compared(plugin, dataset, subject):
    rows = 40
    columns = {
        "missing": [np.nan] * rows,
        "nothing": [None] * rows,
        "constant": [7] * rows,
        "infinite": [np.inf, *range(rows - 1)],
        "label": pd.Categorical(["x", "y"] * (rows // 2)),
        "many": [f"value {number}" for number in range(rows)],
        "gaps": ["x", None] * (rows // 2),
        "a.b #c": list(range(rows)),
    }
    pair = dataset("train", columns), dataset("july", columns)
    report = plugin.mlops_run_monitor("odd", subject, *pair, dict.fromkeys(columns, 0))
    assert {column: score.value for column, score in report.scores.items()} == dict.fromkeys(
        columns, 0.0
    )


def test_numbers_of_different_width_are_one_kind(plugin, dataset, subject):
    pair = dataset("train", {"x": [1, 2, 3, 4]}), dataset("july", {"x": [1.0, 2.0, None, 4.0]})
    report = plugin.mlops_run_monitor("wide", subject, *pair, {"x": 1.0})
    assert report.scores["x"].method == "jensen_shannon_divergence"
    assert report.scores["x"].value > 0


def test_missing_text_is_in_no_category_and_missing_numbers_are_a_bucket(plugin, dataset, subject):
    pair = (
        dataset("train", {"text": ["a", "b", "a", "b"], "number": [1.0, 1.0, 1.0, 1.0]}),
        dataset("july", {"text": ["a", "b", None, None], "number": [1.0, 1.0, None, None]}),
    )
    report = plugin.mlops_run_monitor("gaps", subject, *pair, {"text": 0.1, "number": 0.1})
    assert report.scores["text"].value == 0.0
    assert report.scores["number"].value == pytest.approx(1.5 - 0.75 * np.log2(3))


@pytest.mark.parametrize(
    ("thresholds", "error", "message"),
    [
        ({}, ArgumentError, "without thresholds"),
        ({"speed": 0.3}, ArgumentError, "no column 'speed'"),
        ({"carrier": -0.1}, ArgumentError, "threshold of 'carrier'"),
        ({"carrier": float("nan")}, ArgumentError, "threshold of 'carrier'"),
        ({"carrier": "0.3"}, ArgumentTypeError, "threshold of 'carrier'"),
    ],
)
def test_bad_thresholds_are_refused_before_anything_is_written(
    plugin, subject, pair, tmp_path, thresholds, error, message
):
    with pytest.raises(error, match=message):
        plugin.mlops_run_monitor("delay", subject, *pair, thresholds)
    assert not (tmp_path / "workspace").exists()


def test_bad_datasets_are_refused_before_anything_is_written(
    plugin, subject, pair, dataset, tmp_path
):
    (tmp_path / "text.parquet").write_text("no parquet")
    empty = dataset("empty", {"carrier": pd.Series([], dtype=str)})
    other = dataset("other", {"carrier": [1, 2]})
    dates = dataset("dates", {"carrier": pd.to_datetime(["2013-01-01"])})

    def run(uri):
        current = DatasetRecord(ref=Ref("files", "dataset", "x", uri), name="x")
        plugin.mlops_run_monitor("delay", subject, pair[0], current, {"carrier": 0.3})

    for uri, error, message in (
        (f"file://{tmp_path}/gone.parquet", NotFoundError, "no file"),
        (f"file://{tmp_path}/text.parquet", ArgumentError, "is not parquet"),
        ("s3://bucket/key", ArgumentError, "not a local file"),
        (empty.ref.uri, ArgumentError, "has no rows"),
        (other.ref.uri, ArgumentError, "is string in the reference and int64 now"),
        (dates.ref.uri, ArgumentError, "holds timestamp"),
    ):
        with pytest.raises(error, match=message):
            run(uri)
    assert not (tmp_path / "workspace").exists()


def test_a_workspace_that_cannot_be_written_is_a_backend_error(tmp_path, subject, pair):
    (tmp_path / "taken").write_text("a file")
    plugin = EvidentlyPlugin(tmp_path, path=tmp_path / "taken")
    with pytest.raises(BackendError, match="cannot be used") as caught:
        plugin.mlops_run_monitor("delay", subject, *pair, {"carrier": 0.3})
    assert isinstance(caught.value.__cause__, OSError)
    assert "is not a folder" in plugin.mlops_check_plugin().problem


def test_a_write_that_fails_leaves_nothing(plugin, subject, pair, tmp_path, report):
    before = files(tmp_path)
    project = next((tmp_path / "workspace" / "evidently").iterdir())
    (project / "snapshots").rename(project / "aside")
    (project / "snapshots").write_text("in the way")
    with pytest.raises(BackendError):
        plugin.mlops_run_monitor("delay", subject, *pair, {"carrier": 0.3})
    (project / "snapshots").unlink()
    (project / "aside").rename(project / "snapshots")
    assert files(tmp_path) == before
    assert [path.name for path in (tmp_path / "workspace").iterdir()] == ["evidently"]


def test_a_damaged_snapshot_is_a_backend_error_that_names_it(plugin, report, tmp_path):
    (file,) = (tmp_path / "workspace").rglob(f"{report.ref.id}.json")
    file.write_text(file.read_text()[:100])
    with pytest.raises(BackendError, match=str(file)):
        plugin.mlops_list_reports("delay")


def test_page_is_on_loopback_and_opens_the_workspace(tmp_path):
    ui = EvidentlyPlugin(tmp_path, path="~/reports").mlops_describe_ui()
    assert ui.command[:4] == (sys.executable, "-m", "evidently.cli", "ui")
    assert "~" not in ui.command[ui.command.index("--workspace") + 1]
    assert ui.command[-4:] == ("--host", "127.0.0.1", "--port", "{port}")


def test_describing_and_collecting_import_no_tool(report, tmp_path):
    code = """
import sys
from pathlib import Path
from unified_mlops_evidently.plugin import EvidentlyPlugin
plugin = EvidentlyPlugin(Path(sys.argv[1]))
assert plugin.mlops_check_plugin().problem == ""
plugin.mlops_describe_ui()
assert len(plugin.mlops_collect_lineage(None).observations) == 1
assert len(plugin.mlops_list_reports("delay")) == 1
heavy = {"evidently", "pandas", "numpy", "pyarrow", "plotly"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code, tmp_path / "workspace"], check=True)


def test_edges_say_who_recorded_them(report):
    assert {(edge.level, edge.rule) for edge in report.edges} == {
        ("recorded", "evidently.metadata")
    }
    assert all(isinstance(edge, Edge) for edge in report.edges)
