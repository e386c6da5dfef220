"""What Ray Data reads and writes, and what MLflow says in a worker, where we are installed.

The driver below is native: it imports Ray and MLflow, and nothing of ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from unified_mlops import instrument
from unified_mlops.lineage import urn
from unified_mlops.records import ClusterRecord

SUBMISSION = "raysubmit_abc"
DRIVER = """
import json, os, sys
import ray, ray.data

def look():
    from mlflow.tracking.context.default_context import DefaultRunContext
    from mlflow.tracking.context.registry import resolve_tags
    return DefaultRunContext().tags(), resolve_tags()

ray.init(address=sys.argv[1], log_to_driver=False)
here = ray.get_runtime_context()
found = {"job": f"{here.get_session_name()}/{here.get_job_id()}"}
ray.data.DataContext.get_current().enable_progress_bars = False
folder = os.getcwd() + "/"
new = ray.data.read_parquet(folder + "in/new.parquet")
found["native"], found["rows"] = new.input_files(), new.count()
ray.data.read_csv([folder + "in/a.csv", folder + "in/b.csv"]).write_csv(folder + "out")
for _ in range(2):
    ray.data.read_csv("local://" + folder + "in/a.csv").take_all()
ray.data.range(3).take_all()
try:
    ray.data.read_csv(folder + "in/a.csv").map(lambda row: 1 / 0).write_csv(folder + "failed")
except Exception as error:
    found["failed"] = type(error).__name__
ray.data.read_csv(folder + "in/b.csv").write_csv(folder + "out b")
found["before"], found["tags"] = ray.get(ray.remote(look).remote())
os.environ.pop("UNIFIED_MLOPS_WORKSPACE")
ray.data.read_csv(folder + "in/b.csv").write_csv(folder + "unseen")
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("native")
    (folder / "in").mkdir()
    frame = pd.DataFrame({"a": [1, 2]})
    frame.to_csv(folder / "in" / "a.csv")
    frame.to_csv(folder / "in" / "b.csv")
    frame.to_parquet(folder / "in" / "new.parquet")
    (folder / "driver.py").write_text(DRIVER)
    return folder


@pytest.fixture(scope="module")
def found(started: ClusterRecord, place: Path) -> dict[str, Any]:
    """What the driver saw; run as a job of the cluster would be, instrumented."""
    job = {"runtime_env": {}, "metadata": {"job_submission_id": SUBMISSION}}
    environment = {
        **instrument.environment(os.environ),
        "UNIFIED_MLOPS_WORKSPACE": str(place / "workspace"),
        "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(job),  # as Ray's supervisor of jobs sets it
        "RAY_AUTH_MODE": "disabled",
    }
    done = subprocess.run(
        [sys.executable, "driver.py", started.address],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "is not recorded" not in done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture
def lines(found: dict[str, Any], place: Path) -> list[dict[str, Any]]:
    name = found["job"].replace("/", "-")
    (log,) = (place / "workspace" / "ray" / "data").iterdir()
    assert log.name == f"{name}.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()]


def moved(line: dict[str, Any], place: Path) -> tuple[list[str], list[str]]:
    root = urn.canonical(place) + "/"
    return tuple([uri.removeprefix(root) for uri in line[key]] for key in ("reads", "writes"))  # type: ignore[return-value]


def test_trap_12_a_read_of_the_new_reader_is_noted_where_input_files_is_empty(
    found: dict[str, Any], lines: list[dict[str, Any]], place: Path
) -> None:
    assert found["rows"] == 2
    assert found["native"] == []  # Ray's own answer, which is the trap
    assert (["in/new.parquet"], []) in [moved(line, place) for line in lines]


def test_each_execution_is_one_line_with_what_it_read_and_wrote_in_absolute_uris(
    lines: list[dict[str, Any]], place: Path
) -> None:
    seen = [moved(line, place) for line in lines]
    assert (["in/a.csv", "in/b.csv"], ["out"]) in seen
    assert (["in/b.csv"], ["out b"]) in seen


def test_the_same_again_in_memory_or_failed_is_no_line(
    found: dict[str, Any], lines: list[dict[str, Any]], place: Path
) -> None:
    seen = [moved(line, place) for line in lines]
    assert found["failed"]
    assert sorted(seen) == [
        (["in/a.csv"], []),
        (["in/a.csv", "in/b.csv"], ["out"]),
        (["in/b.csv"], ["out b"]),
        (["in/new.parquet"], []),
    ]


def test_without_a_workspace_nothing_is_written(lines: list[dict[str, Any]], place: Path) -> None:
    assert (place / "unseen").is_dir()
    assert not any("unseen" in json.dumps(line) for line in lines)


def test_a_line_says_which_job_and_when(found: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    for line in lines:
        assert (line["job"], line["submission"]) == (found["job"], SUBMISSION)
        assert 0 < time.time() - line["time"] < 600


def test_trap_12_in_a_worker_mlflow_names_rays_file_and_we_the_users(
    found: dict[str, Any], place: Path
) -> None:
    assert found["before"]["mlflow.source.name"].endswith("default_worker.py")
    assert found["tags"]["mlflow.source.name"] == str(place / "driver.py")


def test_trap_12_a_run_in_a_worker_names_the_job_by_driver_and_by_submission(
    found: dict[str, Any],
) -> None:
    assert found["tags"]["unified_mlops.ray_driver"] == found["job"]
    assert found["tags"]["unified_mlops.ray_job"] == SUBMISSION


def test_rays_own_variable_for_callbacks_finds_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.data import DataContext

    from unified_mlops_ray import capture

    variable = "unified_mlops_ray.capture.Capture"
    monkeypatch.setenv("RAY_DATA_EXECUTION_CALLBACKS", variable)
    assert capture.Capture in DataContext().execution_callback_classes


def test_a_relative_path_starts_from_the_drivers_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from unified_mlops_ray.capture import _uris

    monkeypatch.chdir(tmp_path)
    assert list(_uris(["in/a.csv"], None)) == [urn.canonical(tmp_path / "in" / "a.csv")]


@pytest.mark.parametrize(
    ("path", "scheme", "uri"),
    [
        ("bucket/key//x", "s3", "s3://bucket/key//x"),
        ("s3a://AKIA:secret@bucket/k", "s3", "s3://bucket/k"),
        ("container/k", "abfs", None),
    ],
)
def test_a_path_of_an_object_store_is_a_uri_without_credentials_or_nothing(
    path: str, scheme: str, uri: str | None
) -> None:
    from unified_mlops_ray.capture import _uris

    class Other:
        type_name = scheme

    assert list(_uris([path], Other())) == ([uri] if uri else [])
