"""One pipeline, embedded and on Ray, by one argument."""

from pathlib import Path

import pytest
from kfp import dsl

import unified_mlops as umlops

pytestmark = pytest.mark.story


@dsl.component(base_image="python:3.11")
def add(x: int, y: int, note: dsl.Output[dsl.Dataset]) -> int:
    with open(note.path, "w") as file:  # noqa: PTH123  a component stands alone
        file.write("told")
    return x + y


@dsl.component(base_image="python:3.11")
def show(x: int, note: dsl.Input[dsl.Dataset]) -> str:
    with open(note.path) as file:  # noqa: PTH123
        return f"{x} {file.read()}"


@dsl.pipeline(name="anywhere")
def anywhere(x: int = 1) -> str:
    made = add(x=x, y=2)
    return show(x=made.outputs["Output"], note=made.outputs["note"]).output


def test_the_same_pipeline_runs_embedded_and_on_ray_with_the_same_lineage(tmp_path: Path) -> None:
    umlops.init(workspace=tmp_path / "w", providers={"task": "kfp"})
    jobs = []
    with umlops.RayCluster.create(cpus=2) as cluster:
        session = umlops.init(plugins={"ray": {"address": cluster.address}})
        for runner in (None, "ray"):
            job = umlops.PipelineJob(
                "anywhere",
                anywhere,
                parameter_values={"x": 5},
                runner=runner,
                enable_caching=False,
            )
            job.run()
            jobs.append(job)
    assert [job.outputs for job in jobs] == [{"Output": "7 told"}] * 2
    assert [job.state for job in jobs] == ["PIPELINE_STATE_SUCCEEDED"] * 2
    assert list(session.lineage.collect()) == ["ray"]  # the cluster that it was told of is gone
    for job in jobs:
        walk = session.lineage.upstream(f"{job.uri}/show")
        assert {f"{job.uri}/add", job.uri} <= set(walk.nodes)
        members = {node.uri for node in job.query_lineage_subgraph().executions}
        assert {f"{job.uri}/add", f"{job.uri}/show"} <= members
        assert [node.kind for node in job.lineage().of_kind("pipeline")] == ["pipeline"]
