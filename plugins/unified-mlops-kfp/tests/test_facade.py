"""`PipelineJob` with `runner="kfp"`: a whole pipeline on a server, seen like any other job."""

import threading
import time
from functools import partial

import pytest
from kfp import dsl
from kfp_server import TOKEN

from unified_mlops.config import Config
from unified_mlops.errors import (
    AlreadyExistsError,
    ArgumentError,
    BackendError,
    ConfigError,
    TaskFailedError,
    UnsupportedError,
)
from unified_mlops.resources import remote_pipeline
from unified_mlops.resources.pipelines import PipelineJob
from unified_mlops.session import Session

component = partial(dsl.component, base_image="python:3.11")
SUCCEEDED = "PIPELINE_STATE_SUCCEEDED"
FAILED = "PIPELINE_STATE_FAILED"
CANCELLED = "PIPELINE_STATE_CANCELLED"


@component
def make(n: int) -> int:
    return n + 1


@component
def train(n: int) -> int:
    return n * 2


@dsl.pipeline(name="chain")
def chain(n: int = 1) -> int:
    return train(n=make(n=n).output).output


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(remote_pipeline, "_SHORTEST", 0.005)
    monkeypatch.setattr(remote_pipeline, "_LONGEST", 0.02)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def session(store, host, tmp_path):
    store.token = f"Bearer {TOKEN}"
    (tmp_path / "token").write_text(TOKEN)
    settings = {"endpoint": f"http://{host}", "token_file": str(tmp_path / "token")}
    session = Session(Config(workspace=tmp_path / "w", plugins={"kfp": settings}))
    yield session
    session.close()


@pytest.fixture
def job(session):
    def job(job_id="job-1", runner="kfp", **settings):
        return PipelineJob(
            "My job", chain, job_id=job_id, runner=runner, session=session, **settings
        )

    return job


@pytest.fixture
def still(store):
    """Makes a submitted job stand still until it is told to stop."""

    def still(job):
        (key,) = [run["run_id"] for run in store.runs.values() if job.job_id in run["description"]]
        store._walks[key] = iter(())

    return still


def states(job):
    return {name: task.state for name, task in job.task_details.items()}


# --- run -----------------------------------------------------------------------------------------


def test_a_job_is_run_on_the_server_and_nothing_of_it_here(job, store, host, tmp_path):
    made = job(parameter_values={"n": 3})
    assert (made.state, made.done(), made.uri) == ("PIPELINE_STATE_PENDING", False, "")
    assert (made.task_details, made.create_time) == ({}, None)
    made.run(experiment="flights")
    assert (made.state, made.done(), made.error) == (SUCCEEDED, True, "")
    assert states(made) == {"make": "SUCCEEDED", "train": "SUCCEEDED"}
    assert made.uri == f"kfp://{host}/runs/run-0"
    assert made.create_time < made.end_time
    assert (made.runner, made.pipeline_name) == ("kfp", "chain")
    assert made.parameter_values == {"n": 3}
    assert store.experiments["e0"]["display_name"] == "flights"
    assert not (tmp_path / "w" / "pipelines").exists()


def test_a_submitted_job_is_waited_for_and_a_short_wait_says_that_it_goes_on(job, still):
    made = job()
    made.submit()
    assert not made.done()
    still(made)
    with pytest.raises(TimeoutError, match="'job-1' has not ended in 0.05 s"):
        made.wait(0.05)
    made.cancel()
    made = job("job-2")
    made.submit()
    made.wait(20)
    assert made.state == SUCCEEDED


def test_a_job_that_failed_names_its_task_and_the_run(job, store, host):
    store.failing = {"make"}
    made = job()
    with pytest.raises(TaskFailedError, match="failed: 'make'") as caught:
        made.run()
    assert caught.value.hint == f"see kfp://{host}/runs/run-0"
    assert (made.state, made.error) == (FAILED, "failed: 'make'")
    assert states(made) == {"make": "FAILED", "train": "NOT_TRIGGERED"}


@pytest.mark.parametrize("ended", ["CANCELED", "FAILED"])
def test_a_job_is_cancelled_while_another_thread_waits(job, store, still, ended):
    store.stopped = ended
    made = job()
    made.submit()
    still(made)
    waiter = threading.Thread(target=made.wait)  # would print a TaskFailedError
    waiter.start()
    time.sleep(0.05)
    made.cancel()
    waiter.join(10)
    assert not waiter.is_alive()
    assert (made.state, made.error) == (CANCELLED, "")
    made.wait()
    made.cancel()
    assert made.state == CANCELLED


def test_what_was_not_submitted_cannot_be_waited_for_and_is_cancelled_at_once(job, store):
    made = job()
    with pytest.raises(ArgumentError, match="has not been submitted"):
        made.wait()
    made.cancel()
    made.delete()
    assert store.asked == []


# --- found again ---------------------------------------------------------------------------------


def test_a_job_is_found_again_with_its_tasks(job, session):
    made = job(parameter_values={"n": 3}, pipeline_root="s3://bucket/root")
    made.run(experiment="flights")
    found = PipelineJob.get("job-1", runner="kfp", session=session)
    assert found.uri == made.uri
    assert (found.job_id, found.display_name, found.pipeline_name) == ("job-1", "My job", "chain")
    assert (found.state, found.runner, found.parameter_values) == (SUCCEEDED, "kfp", {"n": 3})
    assert states(found) == states(made)
    assert found.shown()["experiment"] == "flights"
    assert PipelineJob.get("job-9", runner="kfp", session=session) is None
    assert PipelineJob.get("job-1", session=session) is None  # none of this machine's


def test_a_job_that_another_process_submitted_is_waited_for(job, session):
    job().submit()
    found = PipelineJob.get("job-1", runner="kfp", session=session)
    assert not found.done()
    found.wait(20)
    assert (found.state, found.end_time is None) == (SUCCEEDED, False)


def test_the_jobs_of_a_server_are_listed_filtered_and_ordered(job, session, store):
    job("job-1", parameter_values={"n": 2}).run()
    store.failing = {"train"}
    with pytest.raises(TaskFailedError):
        job("job-2").run()
    store.add("theirs", None, description="nightly", created="2026-01-02T00:00:00Z")
    listed = partial(PipelineJob.list, runner="kfp", session=session)
    assert [one.job_id for one in listed(order_by="job_id")] == ["job-1", "job-2", "theirs"]
    assert listed()[0].job_id == "theirs"
    (failed,) = listed('state = "PIPELINE_STATE_FAILED" AND error = "*train*"')
    assert (failed.job_id, states(failed)["train"]) == ("job-2", "FAILED")
    assert [one.job_id for one in listed("parameters.n = 2")] == ["job-1"]
    assert PipelineJob.list(session=session) == []


def test_listing_jobs_that_have_ended_reads_none_of_them_alone(job, session, store):
    for number in range(3):
        job(f"job-{number}").run()
    store.asked.clear()
    assert len(PipelineJob.list('state="*SUCCEEDED"', runner="kfp", session=session)) == 3
    assert [path for path in store.asked if "/runs/" in path] == []


def test_a_deleted_job_is_gone_and_one_that_runs_is_not_deleted(job, session, still):
    made = job()
    made.submit()
    still(made)
    with pytest.raises(ArgumentError, match="'job-1' has not ended"):
        made.delete()
    made.cancel()
    made.delete()
    assert PipelineJob.get("job-1", runner="kfp", session=session) is None


def test_an_id_is_used_once_and_the_first_job_is_not_disturbed(job):
    made = job()
    made.run()
    with pytest.raises(AlreadyExistsError, match="'job-1'"):
        job().run()
    with pytest.raises(AlreadyExistsError, match="'job-1'"):
        made.run()
    assert made.state == SUCCEEDED


# --- what it cannot do ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"failure_policy": "fast"}, "failure_policy"),
        ({"cache_max_age": 60.0}, "cache_max_age"),
        ({"input_artifacts": {"data": "s3://b/k"}}, "input_artifacts"),
        ({"labels": {"team": "blue"}}, "labels"),
    ],
)
def test_what_a_server_cannot_do_is_refused_and_the_job_was_not_begun(job, store, asked, named):
    made = job(**asked)
    with pytest.raises(UnsupportedError, match=named) as caught:
        made.run()
    assert "runner='embedded'" in caught.value.hint
    assert (store.asked, made.state) == ([], "PIPELINE_STATE_PENDING")


def test_parameters_and_folders_that_cannot_be_are_refused(job, store):
    with pytest.raises(ArgumentError, match="parameter 'm'"):
        job(parameter_values={"m": 1}).run()
    with pytest.raises(ArgumentError, match="folder of this machine"):
        job(pipeline_root="/data").run()
    assert store.asked == []


def test_outputs_are_not_told_by_a_server(job):
    made = job()
    made.run()
    with pytest.raises(UnsupportedError, match="does not tell what a pipeline gave out"):
        _ = made.outputs


def test_a_server_goes_on_with_no_job_but_begins_a_clone_anew(job, store):
    store.failing = {"train"}
    made = job()
    with pytest.raises(TaskFailedError):
        made.run()
    for again in (made.resume, made.rerun):
        with pytest.raises(UnsupportedError, match="cannot go on with a job") as caught:
            again()
        assert "job.clone().run()" in caught.value.hint
    assert made.state == FAILED
    store.failing = set()
    clone = made.clone(job_id="job-2")
    clone.run()
    assert (clone.state, clone.runner) == (SUCCEEDED, "kfp")


def test_a_job_that_was_found_on_a_server_is_not_cloned_without_its_file(job, session):
    job().run()
    found = PipelineJob.get("job-1", runner="kfp", session=session)
    with pytest.raises(UnsupportedError, match="does not tell what 'job-1' was compiled from"):
        found.clone()


def test_a_session_without_a_server_says_where_to_name_one(tmp_path):
    session = Session(Config(workspace=tmp_path / "w"))
    made = PipelineJob("x", chain, runner="kfp", session=session)
    for use in (made.run, lambda: PipelineJob.list(runner="kfp", session=session)):
        with pytest.raises(ConfigError, match="no KFP server") as caught:
            use()
        assert "[plugins.kfp]" in caught.value.hint
    assert made.state == "PIPELINE_STATE_PENDING"


def test_a_server_that_is_away_leaves_a_job_that_can_be_submitted_later(job, store):
    made = job()
    store.status = 500
    with pytest.raises(BackendError, match="error of its own"):
        made.submit()
    assert made.state == "PIPELINE_STATE_PENDING"
    store.status = 200
    made.run()
    assert made.state == SUCCEEDED


# --- beside jobs of this machine -----------------------------------------------------------------


def test_a_job_of_this_machine_is_cloned_to_the_server(job, store, session):
    here = job("here", "embedded", parameter_values={"n": 3})
    here.run()
    assert here.outputs == {"Output": 8}
    there = here.clone(job_id="there", runner="kfp")
    there.run()
    assert (there.state, there.runner, there.parameter_values) == (SUCCEEDED, "kfp", {"n": 3})
    ours = [run for run in store.runs.values() if run["description"].endswith("there")]
    assert len(ours) == 1
    definition = here.pipeline.ref.uri
    session.lineage.collect()
    for each in (here, there):  # both are runs of one definition
        assert definition in each.lineage().nodes
