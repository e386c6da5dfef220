"""What native code's runs and inputs say by themselves where this package is installed.

The program below imports MLflow and nothing of ours.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unified_mlops_mlflow import context, datasets
from unified_mlops_mlflow.context import RunContext
from unified_mlops_mlflow.source import UrnSource

RUN_ID = "5a0fd3c5-6c1f-4f4b-9a31-0d8d0f4ce5c4"
LOCAL_ID = "delays-2026-01-02-03-04-05-678901"
VIEW = "feast://abc/shop/featureView/weather@1f2e"
TABLE = "postgresql+psycopg://joe:hunter2@DB/shop#table=public.sales"
BROKEN = ["no json", "[1]", '{"outputs": 3}', '{"outputs": {"artifacts": 1}}']


def executor_input(root: str) -> str:
    artifact = {"artifacts": [{"name": "model", "uri": f"{root}/model"}]}
    file = f"{root}/executor_output.json"
    return json.dumps({"outputs": {"artifacts": {"model": artifact}, "outputFile": file}})


SERVER = executor_input(f"minio://mlpipeline/v2/artifacts/delays/{RUN_ID}/train")
PROGRAM = """
import json, os, pathlib, sys
import mlflow
import pandas as pd

def run(name, *arguments, source="", **variables):
    frame = pd.DataFrame({"a": [1.5]})
    data = mlflow.data.from_pandas(frame, source, name=name) if source else None
    sys.argv[1:] = arguments
    os.environ.update(variables)
    with mlflow.start_run(run_name=name) as started:
        if data is not None:
            mlflow.log_input(data)
            (found,) = mlflow.get_run(started.info.run_id).inputs.dataset_inputs
            mlflow.log_param("read back", mlflow.data.get_source(found).uri)
    for key in variables:
        del os.environ[key]

mlflow.set_experiment(EXPERIMENT)
for arguments in RUNS:
    run(arguments.pop("name"), *arguments.pop("argv", []), **arguments)
pathlib.Path("gone").mkdir()
os.chdir("gone")
pathlib.Path("../gone").rmdir()
run("folder is gone")
"""
RUNS: list[dict[str, object]] = [
    {"name": "plain"},
    {"name": "server", "argv": ["--executor_input", SERVER, "--function_to_execute", "train"]},
    {"name": "local", "argv": ["--executor_input", executor_input(f"/tmp/out/{LOCAL_ID}/train")]},
    {
        "name": "told",
        "argv": ["--executor_input", SERVER],
        "MLFLOW_RUN_CONTEXT": json.dumps({context.KFP_TASK_TAG: "the launcher knows"}),
    },
    {
        "name": "submitted",
        "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(
            {"metadata": {"job_submission_id": "raysubmit_1"}}
        ),
    },
    {
        "name": "broken",
        "argv": ["--executor_input", "no json"],
        "RAY_JOB_CONFIG_JSON_ENV_VAR": "[]",
    },
    {"name": "view", "source": VIEW},
    {"name": "table", "source": TABLE},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("native")


@pytest.fixture(scope="module")
def runs(shared: Path, folder: Path) -> dict[str, Any]:
    """The runs of one program that knows only MLflow, by name."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{shared}/mlflow/mlflow.db"
    values = f"EXPERIMENT, RUNS = {folder.name!r}, {RUNS!r}\n"
    (folder / "train.py").write_text(values + PROGRAM)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    subprocess.run([sys.executable, "train.py"], cwd=folder, env=environment, check=True)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(folder.name)
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def test_a_native_run_says_which_process_on_which_host_in_which_folder_it_is(
    runs: dict[str, Any], folder: Path
) -> None:
    tags = runs["plain"].data.tags
    assert tags[context.HOST_TAG] == socket.gethostname()
    assert tags[context.CWD_TAG] == str(folder)
    assert int(tags[context.PID_TAG]) not in {0, os.getpid()}
    assert tags["mlflow.source.name"] == "train.py"  # MLflow's own is true here
    assert context.KFP_RUN_TAG not in tags
    assert context.RAY_DRIVER_TAG not in tags


@pytest.mark.parametrize(("name", "run_id"), [("server", RUN_ID), ("local", LOCAL_ID)])
def test_a_native_run_in_a_pipeline_task_names_pipeline_run_and_task(
    runs: dict[str, Any], name: str, run_id: str
) -> None:
    tags = runs[name].data.tags
    assert tags[context.KFP_RUN_TAG] == run_id
    assert tags[context.KFP_PIPELINE_TAG] == "delays"
    assert tags[context.KFP_TASK_TAG] == "train"


def test_a_task_of_our_own_runner_is_known_by_its_job_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    task = tmp_path / "delays" / "job-1" / "loop" / "0" / "train"
    task.mkdir(parents=True)
    (tmp_path / "delays" / "job-1" / "job.json").write_text("{}")
    given = executor_input(str(task))
    monkeypatch.setattr(sys, "argv", ["x.py", "--executor_input", given])
    tags = RunContext().tags()
    assert tags[context.KFP_RUN_TAG] == "job-1"
    assert tags[context.KFP_PIPELINE_TAG] == "delays"
    assert tags[context.KFP_TASK_TAG] == "loop/0/train"


def test_what_mlflow_run_context_says_stands(runs: dict[str, Any]) -> None:
    tags = runs["told"].data.tags
    assert tags[context.KFP_TASK_TAG] == "the launcher knows"
    assert tags[context.KFP_RUN_TAG] == RUN_ID


def test_the_driver_of_a_submitted_ray_job_names_its_submission(runs: dict[str, Any]) -> None:
    assert runs["submitted"].data.tags[context.RAY_JOB_TAG] == "raysubmit_1"


@pytest.mark.parametrize("broken", BROKEN)
def test_what_cannot_be_read_costs_its_tag_and_no_other(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["x.py", "--executor_input", broken])
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", broken)
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", broken)
    tags = RunContext().tags()
    assert context.PID_TAG in tags
    assert context.KFP_RUN_TAG not in tags


@pytest.mark.parametrize("name", ["broken", "folder is gone"])
def test_a_native_run_never_fails_because_of_a_tag(runs: dict[str, Any], name: str) -> None:
    assert runs[name].info.status == "FINISHED"
    assert context.PID_TAG in runs[name].data.tags
    assert (context.CWD_TAG in runs[name].data.tags) == (name == "broken")


def test_loading_the_providers_imports_no_tool_and_is_cheap() -> None:
    program = (
        "import sys, time\nstart = time.process_time()\n"
        "from unified_mlops_mlflow import context\n"
        "context.RunContext().tags()\n"
        "took = time.process_time() - start\n"
        "from unified_mlops_mlflow import source\n"
        "print(took, [m for m in ('mlflow', 'pandas', 'ray', 'kfp') if m in sys.modules])"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    took, _, loaded = done.stdout.strip().partition(" ")
    assert loaded == "[]"
    assert float(took) < 0.2


# --- dataset sources -------------------------------------------------------------------------


def test_mlflow_resolves_a_feature_view_as_a_source_and_reads_it_back(
    runs: dict[str, Any],
) -> None:
    (found,) = datasets.read_inputs(runs["view"])
    assert (found.uri, found.name, found.source_type) == (VIEW, "view", "unified_mlops")
    assert runs["view"].data.params["read back"] == VIEW


def test_trap_15_a_database_as_a_source_leaves_its_password_behind(runs: dict[str, Any]) -> None:
    (found,) = runs["table"].inputs.dataset_inputs
    assert "hunter2" not in found.dataset.source
    assert found.dataset.source == UrnSource(TABLE).to_json()


def test_a_source_that_is_only_a_name_says_so_when_it_is_to_be_loaded() -> None:
    with pytest.raises(NotImplementedError, match="is a name and cannot be loaded"):
        UrnSource(VIEW).load()


@pytest.mark.parametrize("other", ["s3://b/k", "/a/b.csv", "http://x/y", "runs:/1/a", 3, None])
def test_what_mlflow_can_name_is_left_to_it(other: object) -> None:
    assert not UrnSource._can_resolve(other)
