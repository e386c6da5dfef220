"""Plain MLflow inside our tasks and trials: its runs are children of ours."""

from pathlib import Path

import pytest
from kfp import dsl

import unified_mlops as umlops

pytestmark = pytest.mark.story


@dsl.component(base_image="python:3.11")
def train(depth: int) -> str:
    import mlflow

    with mlflow.start_run(run_name="native") as run:
        mlflow.log_param("depth", depth)
    return run.info.run_id


@dsl.pipeline(name="native")
def native(depth: int = 3) -> str:
    return train(depth=depth).output


def objective(params):
    import mlflow

    with mlflow.start_run(run_name=f"native {params['depth']}"):
        mlflow.log_param("depth", params["depth"])
    return {"loss": 1 / params["depth"]}


def ran(runner: str) -> None:
    """Run the pipeline and see where its native run stands."""
    job = umlops.PipelineJob("native", native, parameter_values={"depth": 3}, runner=runner)
    job.run()
    session = job.session
    child = umlops.ExperimentRun("native")
    assert child.record.ref.id == job.outputs["Output"]
    assert child.record.parent == f"{job.job_id}/train"
    assert child.get_params() == {"depth": "3"}
    assert session.lineage.collect() == {}
    walk = session.lineage.upstream(child.uri)
    task = umlops.ExperimentRun(f"{job.job_id}/train").uri
    pipeline_run = f"kfp://local/runs/{job.job_id}"
    expected = {task, umlops.ExperimentRun(job.job_id).uri, f"{pipeline_run}/train", pipeline_run}
    assert expected <= set(walk.nodes)


def test_a_run_of_plain_mlflow_in_a_task_is_a_child_of_the_tasks_run(tmp_path: Path) -> None:
    umlops.init(workspace=tmp_path / "w", experiment="e")
    ran("embedded")


def test_on_ray_so_are_those_of_tasks_and_of_trials_below_the_tuning_run(tmp_path: Path) -> None:
    umlops.init(workspace=tmp_path / "w", experiment="e")
    with umlops.RayCluster.create(cpus=2) as cluster:
        umlops.init(plugins={"ray": {"address": cluster.address}})
        ran("ray")
        tuning = umlops.HyperparameterTuningJob(
            "depth",
            objective=objective,
            metric_spec={"loss": "minimize"},
            parameter_spec={"depth": [1, 2]},
        )
        with umlops.start_run("tuning") as run:
            assert tuning.run(run).params == {"depth": 2}
        assert run.session.lineage.collect() == {}
    for depth in (1, 2):
        child = umlops.ExperimentRun(f"native {depth}")
        assert (child.record.parent, child.get_params()) == ("tuning", {"depth": str(depth)})
        assert run.uri in child.lineage().nodes
