"""Reports that people made with Evidently alone, joined by what they wrote into them."""

import json
import os
import shutil
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evidently import Dataset, Report
from evidently.metrics import MeanValue, ValueDrift
from evidently.sdk.models import ProjectModel
from evidently.tests import lte

from unified_mlops.errors import BackendError
from unified_mlops.lineage import urn
from unified_mlops.lineage.names import look_up, meanings
from unified_mlops.records import Claim
from unified_mlops_evidently.naming import names
from unified_mlops_evidently.plugin import EvidentlyPlugin

# what Evidently leaves open when it stores the data of a run
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")

RNG = np.random.default_rng(0)
BEFORE = pd.DataFrame({"x": RNG.normal(0, 1, 300), "y": RNG.normal(0, 1, 300)})
NOW = pd.DataFrame({"x": RNG.normal(3, 1, 300), "y": BEFORE["y"].to_numpy()})
METRICS = [ValueDrift(column="x"), ValueDrift(column="y")]


@pytest.fixture(scope="module")
def plain():
    """A snapshot in which `x` has drifted and its neighbour `y` has not."""

    def run(metadata=None, tags=(), now=NOW):
        report = Report(METRICS, include_tests=True, metadata=metadata, tags=list(tags))
        return report.run(Dataset.from_pandas(now), Dataset.from_pandas(BEFORE))

    return run


@pytest.fixture
def added(workspace, project, plugin):
    """Adds a run natively, and returns what is collected of it and its two metrics."""

    def add(snapshot, **options):
        run = workspace.add_run(project.id, snapshot, **options)
        uri = f"evidently:snapshot/{run.id}"
        seen = {item.key: item for item in plugin.mlops_collect_lineage(None).observations}[uri]
        metrics = {node.attributes.get("column"): node for node in seen.nodes}
        return seen, metrics["x"].uri, metrics["y"].uri

    return add


def edges(seen, kind):
    return {(edge.source, edge.target) for edge in seen.edges if edge.kind == kind}


def stitched(*seen):
    """The ends that claims find among the aliases of several observations."""
    aliases = [alias for item in seen for alias in item.aliases]
    return {
        (uri, claim.thing)
        for item in seen
        for claim in item.claims
        for uri in look_up(claim, meanings(a for a in aliases if a.name == claim.name))
    }


# --- what a snapshot names ---


def test_trap_13_only_the_workspace_file_can_be_joined(plain, added, workspace, project):
    snapshot = plain({"model": "models:/delay@prod"}, ["nightly"])
    exported = json.loads(snapshot.json())
    assert set(exported) == {"metrics", "tests"}  # the defect: no id, no metadata, no tags
    assert "models:/delay@prod" not in snapshot.json()
    seen, _, _ = added(snapshot)
    assert "models:/delay@prod" in {claim.name for claim in seen.claims}


def test_a_model_that_is_named_is_claimed_as_of_the_time_of_the_report(plain, added):
    seen, x, y = added(plain({"model": "models:/delay@prod"}))
    at = seen.nodes[0].time
    assert abs(at - datetime.now().timestamp()) < 60
    assert seen.claims == (
        Claim("models:/delay@prod", "OBSERVES", seen.key, "model-text", at),
        Claim("models:/delay@prod", "OBSERVES", x, "report-column", at, "x"),
        Claim("models:/delay@prod", "OBSERVES", y, "report-column", at, "y"),
    )


def test_a_drift_alert_has_its_own_column_and_not_its_neighbours(plain, added):
    seen, x, y = added(plain({"dataset": "s3a://b/july.parquet"}, ["reference=file:///d/a b.csv"]))
    kinds = {node.uri: node.kind for node in seen.nodes}
    assert (kinds[x], kinds[y]) == ("alert", "report")
    named = {"s3://b/july.parquet", "file:///d/a b.csv"}
    assert edges(seen, "OBSERVES") == {
        *((uri, seen.key) for uri in named),
        *((f"{uri}#x", x) for uri in named),
        *((f"{uri}#y", y) for uri in named),
    }
    assert edges(seen, "DERIVES") == {(seen.key, x), (seen.key, y)}


@pytest.mark.parametrize(
    ("metadata", "tags", "models", "datasets", "unknown"),
    [
        ({"a": {"b": ["models:/m/3"]}}, [], ("models:/m/3",), (), ()),
        ({}, ["models:/m@prod", "model=models:/m-1"], ("models:/m@prod", "models:/m-1"), (), ()),
        ({"note": "see models:/m/3", "ui": "https://h/x"}, ["nightly", "v=2"], (), (), ()),
        ({}, ["s3://b/k"], (), ("s3://b/k",), ()),
        ({"artifact": "s3://b/report.html"}, [], (), (), ()),
        ({"dataset": "flights", "training_data": "x/y.csv"}, [], (), (), 2),
        ({"table": "postgresql://u:pw@h/db/s.t"}, [], (), ("postgresql://h:5432/db/s.t",), ()),
        ({"model_token": "models:/m/3", "secrets": {"data": "/x"}}, [], (), (), ()),
        ({"dataset": "", "data": 5, "train": None}, [None, 3], (), (), ()),
    ],
)
def test_what_is_named_is_read_and_nothing_is_guessed(metadata, tags, models, datasets, unknown):
    found = names(metadata, tags)
    assert (found.models, found.datasets) == (models, datasets)
    assert len(found.unknown) == (unknown or 0)


def test_data_that_is_named_by_a_word_is_unresolved(plain, added):
    seen, _, _ = added(plain({"dataset": "flights"}))
    assert seen.unresolved == (f"{seen.key}: dataset=flights",)


def test_a_failed_test_of_any_metric_is_an_alert(added):
    report = Report([MeanValue(column="x", tests=[lte(-9)]), ValueDrift(column="y")])
    seen, x, y = added(report.run(NOW, BEFORE))
    assert {node.uri: node.kind for node in seen.nodes}[x] == "alert"
    assert {node.uri: node.kind for node in seen.nodes}[y] == "report"  # untested


# --- copies of data ---


def test_trap_13_copies_are_anonymous_and_found_by_what_they_hold(plain, added, tmp_path):
    july = tmp_path / "july.parquet"
    NOW.to_parquet(july)
    seen, x, _ = added(plain({"dataset": str(july)}), include_data=True, name="n1")
    copies = {node.name: node.uri for node in seen.nodes if node.kind == "dataset"}
    source = urn.canonical(july)
    assert copies.pop("july.parquet") == source
    assert set(copies) == {"n1.parquet", "n1: reference.parquet"}  # the defect
    assert (f"{copies['n1.parquet']}#x", x) in edges(seen, "OBSERVES")
    same = copies["n1.parquet"], copies["n1: reference.parquet"]
    assert stitched(seen) == {
        (f"{source}#x", f"{same[0]}#x"),
        (f"{source}#y", f"{same[0]}#y"),
        (f"{source}#y", f"{same[1]}#y"),  # y is the same in both
    }
    assert {claim.rule for claim in seen.claims} == {"column-fingerprint"}


def test_a_copy_that_comes_later_finds_what_an_earlier_report_named(
    plain, workspace, project, plugin, tmp_path
):
    july = tmp_path / "july.parquet"
    NOW.to_parquet(july)
    workspace.add_run(project.id, plain({"dataset": str(july)}))
    time.sleep(0.15)
    first = plugin.mlops_collect_lineage(None)
    workspace.add_run(project.id, plain(), include_data=True)
    second = plugin.mlops_collect_lineage(first.cursor)
    found = {source for source, _ in stitched(*first.observations, *second.observations)}
    assert found == {f"{urn.canonical(july)}#{name}" for name in ("x", "y")}


def test_what_is_stamped_on_a_frame_leads_a_copy_to_its_origin(plain, added):
    now = NOW.copy()
    view = "feast://store/p/featureView/flights"
    now.attrs["unified_mlops"] = {"columns": {"x": [f"{view}#dep"], "y": "?", "z": [5, "no"]}}
    seen, _, _ = added(plain(now=now), include_data=True)
    stamped = {
        (edge.source, edge.kind, edge.target) for edge in seen.edges if edge.rule == "frame-stamp"
    }
    (copy,) = {urn.owner(target) for source, _, target in stamped if source == f"{view}#dep"}
    assert stamped == {
        (f"{view}#dep", "DERIVES", f"{copy}#x"),
        (view, "DERIVES", copy),
        (view, "FIELD", f"{view}#dep"),
        (copy, "FIELD", f"{copy}#x"),
    }


# --- bad stores, and secrets ---


def test_no_secret_of_a_snapshot_comes_through(plain, added, plugin, caplog):
    metadata = {
        "password": "hunter2",
        "nested": {"api_token": "models:/tok-123456789"},
        "dataset": "postgresql://me:sesame@db.example/flights/public.t",
        "source": "host=db password=opensaysme",
        "note": "hunter2",
    }
    tags = ["s3://AKIA1:s3cr3t@b/k", "token=tok-123456789"]
    seen, _, _ = added(plain(metadata, tags))
    kept = json.dumps(asdict(seen)) + plugin.mlops_collect_lineage(None).cursor + caplog.text
    for secret in ("hunter2", "tok-123456789", "sesame", "opensaysme", "s3cr3t", "AKIA1"):
        assert secret not in kept
    assert "postgresql://db.example:5432/flights/public.t" in kept


@pytest.fixture
def two(plain, workspace, project):
    """Two snapshots; returns the file of the first."""
    runs = [workspace.add_run(project.id, plain()) for _ in range(2)]
    return Path(runs[0].url)


def broken(file, how):
    body = json.loads(file.read_text())
    texts = {
        "half-written": file.read_text()[:1000],
        "empty": "",
        "newer": json.dumps({**body, "metric_results": [], "version": 3}),
        "no object": "[]",
    }
    file.write_text(texts[how])


@pytest.mark.parametrize("how", ["half-written", "empty", "newer", "no object"])
def test_a_snapshot_that_cannot_be_read_is_named_and_read_when_it_is_whole(plugin, two, how):
    whole = two.read_text()
    broken(two, how)
    time.sleep(0.15)
    first = plugin.mlops_collect_lineage(None)
    assert len(first.observations) == 1
    assert str(two) in str(first.problems[0])
    assert plugin.mlops_collect_lineage(first.cursor).observations == ()
    two.write_text(whole)
    (seen,) = plugin.mlops_collect_lineage(first.cursor).observations
    assert seen.key == f"evidently:snapshot/{two.stem}"


def test_a_project_of_a_newer_evidently_is_named_and_hides_no_other(plugin, two, workspace, plain):
    other = workspace.add_project(ProjectModel(name="other"))
    workspace.add_run(other.id, plain())
    file = two.parent.parent / "metadata.json"
    held = json.loads(file.read_text())
    assert held["version"] == "2", "see store.VERSION"
    file.write_text(json.dumps({**held, "version": "3"}))
    found = plugin.mlops_collect_lineage(None)
    assert [item.nodes[0].attributes["project"] for item in found.observations] == ["other"]
    assert str(file) in str(found.problems[0])


def test_what_was_out_of_reach_is_read_later_though_it_has_not_changed(plugin, two, monkeypatch):
    original, shut = Path.iterdir, two.parent

    def iterdir(self):  # tests run as root, whom no permission stops
        if self == shut:
            raise PermissionError(13, "Permission denied", str(self))
        return original(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    first = plugin.mlops_collect_lineage(None)
    assert first.observations == ()
    assert "permission denied" in str(first.problems[0])
    monkeypatch.undo()
    assert len(plugin.mlops_collect_lineage(first.cursor).observations) == 2


def test_what_is_no_workspace_is_named(tmp_path):
    (tmp_path / "evidently").write_text("a file")
    with pytest.raises(BackendError, match="not a directory"):
        EvidentlyPlugin(tmp_path).mlops_collect_lineage(None)
    (tmp_path / "evidently").unlink()
    (tmp_path / "evidently" / "other").mkdir(parents=True)
    (tmp_path / "evidently" / "other" / "metadata.json").write_text("{")
    assert EvidentlyPlugin(tmp_path).mlops_collect_lineage(None).observations == ()


def test_links_that_lead_out_of_the_workspace_are_not_followed(plugin, two, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    NOW.to_parquet(outside / "a.parquet")
    links = {"output": {"current": os.path.relpath(outside, two.parent), "reference": None}}
    two.with_suffix(".links.json").write_text(json.dumps(links))
    for item in plugin.mlops_collect_lineage(None).observations:
        assert not any("outside" in node.uri for node in item.nodes)


def test_a_copy_that_was_deleted_or_cannot_be_read_has_no_columns(plain, added, plugin):
    seen, _, _ = added(plain(), include_data=True, name="n1")
    (gone, _) = copies = [urn.path_of(node.uri) for node in seen.nodes if node.kind == "dataset"]
    shutil.rmtree(gone.parent)
    copies[1].write_bytes(b"PAR1")
    (seen,) = plugin.mlops_collect_lineage(None).observations
    assert [node.name for node in seen.nodes if node.kind == "dataset"] == [copies[1].name]
    assert not any(claim.rule == "column-fingerprint" for claim in seen.claims)
