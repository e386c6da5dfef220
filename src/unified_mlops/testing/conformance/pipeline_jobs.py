"""Standard tests of whole pipelines that a server runs."""

# ruff: noqa: D102 - the name of a test says what it sees to

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from unified_mlops.errors import AlreadyExistsError, ArgumentError, NotFoundError
from unified_mlops.hookspecs import Hooks
from unified_mlops.records import JobRequest, PipelineJobRecord, PipelineRecord, Ref, TaskRecord
from unified_mlops.testing.conformance.checks import check_record, needs, refused
from unified_mlops.testing.conformance.kit import Kit

Submit = Callable[..., PipelineJobRecord]

_LONGEST = 600
"""Seconds in which the server has to run two tasks that do nothing."""
_BEGUN = ("PENDING", "RUNNING")
_STOPPED = ("CANCELLING", "CANCELLED")


class PipelineJobConformance(Kit):
    """The hooks of `PipelineHooks` that hand a whole pipeline to a server."""

    @pytest.fixture
    def compiled(self, hooks: Hooks, pipeline: Any) -> PipelineRecord:
        """The pipeline `twice-doubled`, which takes an integer `x`."""
        return hooks.mlops_load_pipeline(template=pipeline)

    @pytest.fixture
    def submit(self, hooks: Hooks, compiled: PipelineRecord, name: str) -> Submit:
        """Submits that pipeline as a job with the test's name."""

        def submit(**parameters: Any) -> PipelineJobRecord:
            job = JobRequest(name=name, display_name=f"job {name}", parameters=parameters)
            return hooks.mlops_submit_pipeline(pipeline=compiled, job=job)

        return submit

    # --- submit_pipeline ---

    def test_submit_pipeline__answers_before_it_has_run(self, submit: Submit, name: str) -> None:
        job = submit(x=1)
        check_record(job, PipelineJobRecord, "pipeline_run")
        assert (job.name, job.display_name) == (name, f"job {name}")
        assert job.pipeline == "twice-doubled"
        assert job.state.removeprefix("PIPELINE_STATE_") in _BEGUN
        assert job.created is not None and job.ended is None and job.error == ""

    def test_submit_pipeline__keeps_integers(self, submit: Submit) -> None:
        job = submit(x=10**15)
        assert job.parameters == {"x": 10**15}
        assert type(job.parameters["x"]) is int

    def test_submit_pipeline__refuses_parameters_that_the_pipeline_has_not(
        self, submit: Submit
    ) -> None:
        with refused(ArgumentError):
            submit(x=1, y=2)

    def test_submit_pipeline__refuses_to_leave_a_parameter_out(
        self, hooks: Hooks, compiled: PipelineRecord, name: str
    ) -> None:
        spec = json.loads(json.dumps(compiled.spec))
        spec["root"]["inputDefinitions"]["parameters"]["x"] = {"parameterType": "NUMBER_INTEGER"}
        job = JobRequest(name=name, display_name=name)
        with refused(ArgumentError):
            hooks.mlops_submit_pipeline(pipeline=replace(compiled, spec=spec), job=job)

    def test_submit_pipeline__refuses_a_name_that_is_taken(self, submit: Submit) -> None:
        submit(x=1)
        with refused(AlreadyExistsError):
            submit(x=1)

    # --- get_pipeline_job ---

    @needs("submit_pipeline")
    def test_get_pipeline_job__follows_a_job_to_its_end(self, hooks: Hooks, submit: Submit) -> None:
        began = submit(x=1)
        job = _followed(hooks, began.ref)
        assert (job.ref, job.name) == (began.ref, began.name)
        assert (job.state, job.error) == ("PIPELINE_STATE_SUCCEEDED", "")
        assert job.ended is not None
        for task in job.tasks.values():
            check_record(task, TaskRecord, "task")
        assert {name: task.state for name, task in job.tasks.items()} == {
            "double": "SUCCEEDED",
            "double-2": "SUCCEEDED",
        }

    @needs("submit_pipeline")
    def test_get_pipeline_job__knows_no_other(self, hooks: Hooks, submit: Submit) -> None:
        with refused(NotFoundError):
            hooks.mlops_get_pipeline_job(job=_other(submit(x=1).ref))

    # --- list_pipeline_jobs ---

    @needs("submit_pipeline")
    def test_list_pipeline_jobs__finds_a_job_by_its_name(
        self, hooks: Hooks, submit: Submit, name: str
    ) -> None:
        job = submit(x=1)
        (found,) = hooks.mlops_list_pipeline_jobs(name=name)
        check_record(found, PipelineJobRecord, "pipeline_run")
        assert (found.ref, found.display_name) == (job.ref, job.display_name)
        assert job.ref in [one.ref for one in hooks.mlops_list_pipeline_jobs(name="")]
        assert list(hooks.mlops_list_pipeline_jobs(name=f"{name}-not")) == []

    # --- cancel_pipeline_job ---

    @needs("submit_pipeline", "get_pipeline_job")
    def test_cancel_pipeline_job__stops_a_job(self, hooks: Hooks, submit: Submit) -> None:
        job = hooks.mlops_cancel_pipeline_job(job=submit(x=1).ref)
        assert job.state.removeprefix("PIPELINE_STATE_") in _STOPPED
        ended = _followed(hooks, job.ref)
        assert not [task for task in ended.tasks.values() if task.state in _BEGUN]

    @needs("submit_pipeline", "get_pipeline_job")
    def test_cancel_pipeline_job__leaves_one_that_has_ended(
        self, hooks: Hooks, submit: Submit
    ) -> None:
        ended = _followed(hooks, submit(x=1).ref)
        assert hooks.mlops_cancel_pipeline_job(job=ended.ref).state == ended.state

    # --- delete_pipeline_job ---

    @needs("submit_pipeline", "get_pipeline_job")
    def test_delete_pipeline_job__removes_one_that_has_ended(
        self, hooks: Hooks, submit: Submit
    ) -> None:
        ended = _followed(hooks, submit(x=1).ref)
        hooks.mlops_delete_pipeline_job(job=ended.ref)
        with refused(NotFoundError):
            hooks.mlops_get_pipeline_job(job=ended.ref)

    @needs("submit_pipeline")
    def test_delete_pipeline_job__refuses_one_that_goes_on(
        self, hooks: Hooks, submit: Submit
    ) -> None:
        with refused(ArgumentError):
            hooks.mlops_delete_pipeline_job(job=submit(x=1).ref)


def _other(ref: Ref) -> Ref:
    return replace(ref, id=f"{ref.id}x", uri=f"{ref.uri}x")


def _followed(hooks: Hooks, ref: Ref) -> PipelineJobRecord:
    """The job when it has ended; looks again and again, at first in quick succession."""
    deadline, pause = time.monotonic() + _LONGEST, 0.01
    while True:
        job = hooks.mlops_get_pipeline_job(job=ref)
        if job.state.endswith(("SUCCEEDED", "FAILED", "CANCELLED")):
            return job
        assert time.monotonic() < deadline, f"still {job.state}"
        time.sleep(pause)
        pause = min(2 * pause, 5.0)
