"""What watches: Evidently's reports, made by Evidently alone, and TensorBoard's event files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from evidently import Report
from evidently.metrics import ValueDrift
from evidently.presets import DataDriftPreset
from evidently.sdk.models import ProjectModel
from evidently.ui.workspace import Workspace
from tensorboard.summary import Writer
from tensorboardX import SummaryWriter
from tests.stories.lineage.conftest import Check
from tests.stories.lineage.native import Bench
from tests.stories.lineage.scenario import Truth
from tests.stories.lineage.test_features import BOTH, DATA, SALES, train, trained
from tests.stories.lineage.test_tracking import two_versions

from unified_mlops.lineage.urn import canonical, column
from unified_mlops.session import Session

pytestmark = pytest.mark.story


class Monitor:
    """An Evidently workspace with one project."""

    def __init__(self, bench: Bench) -> None:
        self.folder = bench.folder / "monitoring"
        self.workspace = Workspace(str(self.folder))
        self.project = self.workspace.add_project(ProjectModel(name="by hand"))
        bench.plugins["evidently"] = {"path": str(self.folder)}

    def compare(
        self,
        columns: Sequence[str],
        metadata: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        preset: bool = False,
    ) -> Any:
        """A run of a report in which the first of the columns has drifted."""
        before = pd.DataFrame({name: np.arange(100.0) for name in columns})
        metrics = [DataDriftPreset()] if preset else [ValueDrift(column=name) for name in columns]
        report = Report(metrics, include_tests=True, metadata=metadata, tags=list(tags))
        return report.run(before.assign(**{columns[0]: before[columns[0]] + 90}), before)

    def add(self, snapshot: Any) -> Path:
        """Add it to the workspace; its file."""
        run = self.workspace.add_run(self.project.id, snapshot)
        return Path(run.url)


def told(truth: Truth, file: Path, drifted: str) -> tuple[str, dict[str, str]]:
    """Say that there was a report, and an alert of one column; its URN and those of its metrics.

    Args:
        truth: where to say it.
        file: the snapshot's file; the ids of metrics are opaque.
        drifted: the column; the metric of no column counts drifted ones.
    """
    report = truth.node("report", f"evidently:snapshot/{file.stem}")
    metrics = {}
    for key, result in json.loads(file.read_text())["metric_results"].items():
        name = result["metric_value_location"]["metric"]["params"].get("column", "")
        kind = "alert" if name in (drifted, "") else "report"
        metrics[name] = truth.node(kind, f"{report}/metric/{key}")
        truth.edge(report, "DERIVES", metrics[name])
    return report, metrics


def watched(
    truth: Truth, thing: str, report: str, metrics: Mapping[str, str], *columns: str
) -> None:
    """Say that a report is of a thing, and its metrics of the columns of it."""
    truth.edge(thing, "OBSERVES", report)
    for name in columns:
        truth.edge(column(thing, name), "OBSERVES", metrics[name])


def sources(session: Session, alert: str) -> set[str]:
    """The columns in which the way up from an alert ends."""
    return {node.uri for node in session.lineage.upstream(alert, plane="column").source_columns}


@pytest.fixture
def monitor(bench: Bench) -> Monitor:
    return Monitor(bench)


# --- reports ---------------------------------------------------------------------------------


def test_a_drift_of_one_column_leads_to_one_column_of_a_feature_source(
    bench: Bench, monitor: Monitor, check: Check
) -> None:
    repo = bench.feast(mlflow={"enabled": True, "tracking_uri": bench.uri})
    file = bench.file("repo/data/sales.parquet", DATA)
    repo.apply(SALES)
    made = train(repo, ["sales:amount", "sales:items"], BOTH)
    mlflow.register_model(f"models:/{made[1]}", "delay")
    baseline = {"model": "models:/delay/1", "reference": file.removeprefix("file://")}
    seen = monitor.add(monitor.compare(BOTH, baseline, ["nightly"]))
    truth = bench.truth()
    view = repo.told(truth, "sales", file, BOTH)
    _, model = trained(bench, truth, made, view, BOTH)
    version = bench.version(truth, model, "delay", 1, *BOTH)
    report, metrics = told(truth, seen, drifted="amount")
    watched(truth, version, report, metrics, *BOTH)
    watched(truth, file, report, metrics, *BOTH)
    session = bench.collect()
    check(session, truth)
    assert sources(session, metrics["amount"]) == {f"{file}#amount"}
    met = session.lineage.upstream(metrics["amount"], plane="column").nodes
    assert f"{view}#amount" in met
    assert not [uri for uri in met if uri.endswith("#items")]
    reached = session.lineage.impact(f"{file}#items").nodes
    assert metrics["items"] in reached
    assert metrics["amount"] not in reached


def test_an_alias_that_moved_between_two_reports(
    bench: Bench, monitor: Monitor, check: Check
) -> None:
    """Each is of the version that the alias meant then; the target is no column of the model."""
    truth, *versions = two_versions(bench, "prod")
    for number, version in enumerate(versions, 1):
        mlflow.MlflowClient().set_registered_model_alias("delay", "prod", str(number))
        bench.collect()
        snapshot = monitor.compare(["a", "y"], {"model": "models:/delay@prod"})
        report, metrics = told(truth, monitor.add(snapshot), drifted="a")
        watched(truth, version, report, metrics, "a")
        bench.collect()
    check(bench.collect(), truth)


def test_two_reports_on_the_same_data(bench: Bench, monitor: Monitor, check: Check) -> None:
    """Named in metadata, and in a tag; what a preset counts is an alert of no column."""
    july = bench.file("july.parquet", {"amount": [1.0], "items": [2.0]})
    truth = bench.truth()
    truth.node("dataset", july, *BOTH)
    ways: list[dict[str, Any]] = [
        {"metadata": {"dataset": july.removeprefix("file://")}, "preset": True},
        {"tags": [f"current={july}", "nightly"]},
    ]
    alerts = []
    for way in ways:
        report, metrics = told(truth, monitor.add(monitor.compare(BOTH, **way)), drifted="amount")
        watched(truth, july, report, metrics, *BOTH)
        alerts.append(metrics["amount"])
    session = bench.collect()
    check(session, truth)
    reached = session.lineage.impact(f"{july}#amount")
    assert {*alerts} == {node.uri for node in reached.of_kind("alert")} - reached.coarse


def test_trap_13_an_exported_report_is_joined_with_nothing(
    bench: Bench, monitor: Monitor, check: Check
) -> None:
    """It holds no id, no tags and no metadata; also where somebody put it into the workspace."""
    july = bench.file("july.parquet", {"amount": [1.0], "items": [2.0]})
    snapshot = monitor.compare(BOTH, {"dataset": july, "model": "models:/delay@prod"})
    kept = monitor.add(monitor.compare(BOTH))
    snapshot.save_json(str(bench.folder / "report.json"))
    assert "july" not in (bench.folder / "report.json").read_text()
    shutil.copy(bench.folder / "report.json", kept.parent)
    truth = bench.truth()
    told(truth, kept, drifted="amount")
    check(bench.collect(), truth)


# --- event files -----------------------------------------------------------------------------


def beside(bench: Bench, writer: Any, names: Sequence[str]) -> dict[str, str]:
    """Runs, one after the other, each with a folder of event files; their URNs and ids."""
    logs = bench.folder / "logs"
    bench.plugins["tensorboard"] = {"log_dir": str(logs)}
    found = {}
    for name in names:
        with mlflow.start_run() as run:
            own = writer(str(logs / name))
            own.add_scalar("loss", 1.0, 0)
            own.close()
            mlflow.log_metric("loss", 1.0)
        found[canonical(logs / name)] = run.info.run_id
    return found


def test_event_files_of_two_runs_one_after_the_other(
    bench: Bench, ambient: None, check: Check
) -> None:
    truth = bench.truth()
    for folder, run_id in beside(bench, Writer, ["first", "second"]).items():
        truth.node("dataset", folder)
        truth.guess(bench.run(truth, run_id), "OUTPUT", folder, right=True)
    check(bench.collect(), truth)


def test_event_files_of_a_run_within_a_run_may_be_of_both(
    bench: Bench, ambient: None, check: Check
) -> None:
    bench.plugins["tensorboard"] = {"log_dir": str(bench.folder / "logs")}
    with mlflow.start_run() as outer, mlflow.start_run(nested=True) as inner:
        writer = Writer(str(bench.folder / "logs"))
        writer.add_scalar("loss", 1.0, 0)
        writer.close()
        mlflow.log_metric("loss", 1.0)
    truth = bench.truth()
    folder = truth.node("dataset", canonical(bench.folder / "logs"))
    runs = [bench.run(truth, run.info.run_id) for run in (outer, inner)]
    truth.edge(runs[0], "PARENT_OF", runs[1])
    truth.guess(runs[0], "OUTPUT", folder, right=False)
    truth.guess(runs[1], "OUTPUT", folder, right=True)
    check(bench.collect(), truth)


@pytest.mark.parametrize("writer", [Writer, SummaryWriter])
def test_event_files_of_which_nothing_tells_the_run(
    bench: Bench, check: Check, writer: Any
) -> None:
    truth = bench.truth()
    for folder, run_id in beside(bench, writer, ["only"]).items():
        truth.node("dataset", folder)
        why = "natively MLflow does not write down its process"
        truth.lost(bench.run(truth, run_id), "OUTPUT", folder, why=why)
    check(bench.collect(), truth)
