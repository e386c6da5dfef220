# The bodies and signatures of components and pipelines are what users write.
# ruff: noqa: PTH123
import json
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Output, OutputPath, PipelineTaskFinalStatus

from unified_mlops.config import Config
from unified_mlops.errors import ArgumentError, BackendError, ConfigError
from unified_mlops.hookspecs import PipelineHooks
from unified_mlops.pipelines.job import Job
from unified_mlops.pipelines.journal import Journal, find
from unified_mlops.pipelines.plan import Options, Plan
from unified_mlops.session import Session
from unified_mlops_kfp.plugin import KfpPlugin

component = partial(dsl.component, base_image="python:3.11")
SUCCEEDED, FAILED = "PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED"
CANCELLED = "PIPELINE_STATE_CANCELLED"


@component
def say(text: str) -> str:
    return text


@component
def tally(place: str, text: str = "") -> int:
    """Write a line into a file, and say how many there are."""
    with open(place, "a") as file:
        file.write(text + "\n")
    with open(place) as file:
        return len(file.readlines())


@component
def fail_until(place: str, tries: int) -> int:
    with open(place, "a") as file:
        file.write("x")
    with open(place) as file:
        n = len(file.read())
    assert n >= tries, f"try {n}"
    return n


@component
def wait_for(place: str):
    import os
    import time

    while not os.path.exists(place):  # noqa: PTH110
        time.sleep(0.01)


@component
def write(text: str, data: Output[Dataset]):
    with open(data.path, "w") as file:
        file.write(text)


@component
def length(data: Input[Dataset]) -> int:
    with open(data.path) as file:
        return len(file.read())


# --- retries ---------------------------------------------------------------------------------


@dsl.pipeline(name="retried")
def retried(place: str, tries: int) -> int:
    return fail_until(place=place, tries=tries).set_retry(2, backoff_duration="0s").output


def test_a_task_is_tried_again_each_time_in_a_folder_of_its_own(run, tmp_path):
    result = run(retried, place=str(tmp_path / "tries"), tries=3)
    assert (result.state, result.outputs["Output"]) == (SUCCEEDED, 3)
    task = result.tasks["fail-until"]
    assert task.tries == 3
    folder = Path(task.folder)
    assert folder.name == "fail-until.try3"
    assert "try 1" in (folder.parent / "fail-until" / "log.txt").read_text()


def test_a_task_that_fails_in_every_try_fails(run, tmp_path):
    result = run(retried, place=str(tmp_path / "tries"), tries=9)
    assert (result.state, result.tasks["fail-until"].tries) == (FAILED, 3)
    assert result.error == "task 'fail-until' failed: AssertionError: try 3"


@dsl.pipeline
def inner(place: str, tries: int, log: str) -> int:
    first = tally(place=log)
    return fail_until(place=place, tries=tries).after(first).output


@dsl.pipeline(name="retried-group")
def retried_group(place: str, log: str) -> int:
    return inner(place=place, tries=2, log=log).set_retry(2, backoff_duration="0s").output


def test_a_nested_pipeline_is_tried_again_as_a_whole(run, tmp_path):
    options = Options(caching=False)
    log = tmp_path / "log"
    result = run(retried_group, place=str(tmp_path / "tries"), log=str(log), options=options)
    assert (result.state, result.outputs["Output"]) == (SUCCEEDED, 2)
    assert len(log.read_text().splitlines()) == 2
    assert {task.state for task in result.tasks.values()} == {"SUCCEEDED"}


# --- exit handlers, failure policies ---------------------------------------------------------


@component
def tell(status: PipelineTaskFinalStatus) -> str:
    return f"{status.state} {status.pipeline_task_name} {status.error_message}"


@dsl.pipeline(name="leaving")
def leaving(place: str):
    with dsl.ExitHandler(tell()):
        broken = fail_until(place=place, tries=9)
        say(text="after").after(broken)
    say(text="beside")


@pytest.mark.parametrize("policy", ["slow", "fast"])
def test_an_exit_task_runs_though_its_group_failed_and_is_told_why(run, tmp_path, policy):
    options = Options(failure_policy=policy)
    result = run(leaving, place=str(tmp_path / "x"), options=options)
    assert result.state == FAILED
    told = result.tasks["tell"].parameters["Output"]
    assert told == "FAILED exit-handler-1 task 'fail-until' in it failed"


@dsl.pipeline(name="diamond")
def diamond(place: str, go: str):
    broken = fail_until(place=place, tries=9)
    slow = wait_for(place=go)
    after = say(text="beside").after(slow)
    say(text="last").after(broken, after)


@pytest.mark.parametrize(("policy", "beside"), [("slow", "SUCCEEDED"), ("fast", "NOT_TRIGGERED")])
def test_after_a_failure_a_fast_job_starts_no_more_tasks(job, tmp_path, watch, policy, beside):
    go = tmp_path / "go"
    options = Options(failure_policy=policy)
    made = job(diamond, place=str(tmp_path / "x"), go=str(go), options=options)
    made.open()
    ended = made.start()
    until(lambda: watch.finished.get("fail-until") == "FAILED")
    go.touch()
    result = ended.result()
    assert result.state == FAILED
    assert result.tasks["wait-for"].state == "SUCCEEDED"
    assert (result.tasks["say"].state, result.tasks["say-2"].state) == (beside, "NOT_TRIGGERED")


# --- loops -----------------------------------------------------------------------------------


@dsl.pipeline(name="spread")
def spread(items: list[str]) -> list[str]:
    with dsl.ParallelFor(items) as item:
        said = say(text=item)
    return dsl.Collected(said.output)


def test_each_iteration_has_a_name_a_folder_and_a_group(run):
    result = run(spread, items=["a", "b"])
    assert result.outputs["Output"] == ["a", "b"]
    one = result.tasks["say[1]"]
    assert (one.inputs, one.within, Path(one.folder).name) == (
        {"text": "b"},
        "for-loop-1[1]",
        "say[1]",
    )
    assert result.tasks["for-loop-1[1]"].within == "for-loop-1"


def test_an_empty_loop_gives_an_empty_list(run):
    assert run(spread, items=[]).outputs["Output"] == []


def test_iterations_that_are_alike_are_all_run_and_none_is_taken_from_another(run):
    result = run(spread, items=["a"] * 9)
    assert {result.tasks[f"say[{n}]"].state for n in range(9)} == {"SUCCEEDED"}


@dsl.pipeline(name="narrow")
def narrow(go: str):
    with dsl.ParallelFor(list("abcdef"), parallelism=2) as item:
        say(text=item)
        wait_for(place=go)


def test_no_more_iterations_run_at_once_than_the_loop_says(job, tmp_path, watch):
    go = tmp_path / "go"
    made = job(narrow, go=str(go))
    made.open()
    ended = made.start()
    until(lambda: {"wait-for[0]", "wait-for[1]", "say[0]", "say[1]"} <= set(watch.started))
    time.sleep(0.2)
    begun = set(watch.started)
    go.touch()
    assert ended.result().state == SUCCEEDED
    assert begun == {"wait-for[0]", "wait-for[1]", "say[0]", "say[1]"}
    assert "say[5]" in watch.started


# --- artifacts that come from outside --------------------------------------------------------


@dsl.pipeline(name="from-outside")
def from_outside(data: Input[Dataset], where: str) -> int:
    brought = dsl.importer(
        artifact_uri=where, artifact_class=Dataset, metadata={"rows": 3, "from": where}
    )
    length(data=brought.output)
    return length(data=data).output


def test_input_artifacts_and_importers_bring_in_what_is_there(run, tmp_path):
    (tmp_path / "given").write_text("12345")
    (tmp_path / "found").write_text("123")
    given = {"data": str(tmp_path / "given")}
    result = run(from_outside, artifacts=given, where=str(tmp_path / "found"))
    assert result.outputs["Output"] == 5
    (artifact,) = result.tasks["importer"].artifacts["artifact"]
    assert artifact["uri"] == str(tmp_path / "found")
    assert artifact["metadata"] == {"rows": 3, "from": str(tmp_path / "found")}
    assert result.tasks["length"].parameters["Output"] == 3


def test_an_unknown_and_a_missing_input_artifact_are_named(job, tmp_path):
    with pytest.raises(ArgumentError, match="'data' is missing"):
        job(from_outside, where="x")
    with pytest.raises(ArgumentError, match="unknown pipeline input artifact 'dta'"):
        job(from_outside, artifacts={"dta": "x", "data": "y"}, where="x")
    assert list(tmp_path.iterdir()) == []


# --- the cache -------------------------------------------------------------------------------


@dsl.pipeline(name="remembered")
def remembered(place: str, text: str = "") -> int:
    return tally(place=place, text=text).output


def test_the_second_run_takes_its_outputs_from_the_first(run, tmp_path):
    place = str(tmp_path / "lines")
    first = run(remembered, "job-1", place=place)
    second = run(remembered, "job-2", place=place)
    third = run(remembered, "job-3", place=place, text="other")
    off = run(remembered, "job-4", place=place, options=Options(caching=False))
    assert [r.outputs["Output"] for r in (first, second, third, off)] == [1, 1, 2, 3]
    told = [r.tasks["tally"] for r in (first, second, third, off)]
    assert [task.state for task in told] == ["SUCCEEDED", "SKIPPED", "SUCCEEDED", "SUCCEEDED"]
    assert told[1].cache == "same as in job 'job-1'"
    assert told[2].cache == 'parameter \'text\' changed: "" -> "other"'
    assert told[3].cache == "caching is off for this task"


@component
def mistake(place: str, number: OutputPath(int)):
    with open(place, "a") as file:
        file.write("x")
    with open(place) as file, open(number, "w") as made:
        made.write("7" if len(file.read()) > 1 else "seven")


@dsl.pipeline(name="mistaken")
def mistaken(place: str) -> int:
    return mistake(place=place).outputs["number"]


def test_an_output_of_the_wrong_type_fails_the_task_and_is_not_remembered(run, tmp_path):
    first = run(mistaken, "job-1", place=str(tmp_path / "x"))
    assert (first.state, "NUMBER_INTEGER" in first.error) == (FAILED, True)
    again = run(mistaken, "job-2", place=str(tmp_path / "x"))
    assert (again.state, again.outputs) == (SUCCEEDED, {"Output": 7})


def test_outputs_that_are_too_old_are_made_again(run, tmp_path):
    place = str(tmp_path / "lines")
    run(remembered, "job-1", place=place)
    time.sleep(0.1)
    again = run(remembered, "job-2", place=place, options=Options(max_age=0.05))
    assert again.outputs["Output"] == 2
    assert again.tasks["tally"].cache == "older than 0.05 s"


# --- cancelling, resuming --------------------------------------------------------------------


@dsl.pipeline(name="long")
def long(place: str, go: str) -> int:
    first = tally(place=place)
    waited = wait_for(place=go).after(first)
    return tally(place=place, text="end").after(waited).output


def test_a_cancelled_job_stops_and_can_go_on(job, tmp_path, watch):
    go, place = tmp_path / "go", tmp_path / "lines"
    made = job(long, place=str(place), go=str(go))
    made.open()
    ended = made.start()
    until(lambda: "wait-for" in watch.started)
    threading.Thread(target=made.cancel).start()
    result = ended.result(10)
    assert result.state == CANCELLED
    states = {name: task.state for name, task in result.tasks.items()}
    assert states == {"tally": "SUCCEEDED", "wait-for": "CANCELLED", "tally-2": "CANCELLED"}
    go.touch()
    again = job(long, before=list(made.journal.tasks()), place=str(place), go=str(go))
    again.open(again=True)
    resumed = again.start().result(20)
    assert (resumed.state, resumed.outputs["Output"]) == (SUCCEEDED, 2)
    assert Path(resumed.tasks["wait-for"].folder).name == "wait-for.try2"


def test_another_process_can_have_a_job_cancelled(job, tmp_path, watch):
    made = job(long, place=str(tmp_path / "lines"), go=str(tmp_path / "go"))
    made.open()
    ended = made.start()
    until(lambda: "wait-for" in watch.started)
    other = find(tmp_path, "job-1")
    assert other.alive
    other.cancel()
    assert ended.result(10).state == CANCELLED
    assert not other.alive


def test_a_job_is_run_by_one_process_at_a_time(job, tmp_path, watch):
    go = tmp_path / "go"
    made = job(long, place=str(tmp_path / "lines"), go=str(go))
    made.open()
    ended = made.start()
    with pytest.raises(BackendError, match="'job-1' is running"):
        Journal(made.journal.folder).reopen()
    go.touch()
    assert ended.result().state == SUCCEEDED


def test_what_a_job_leaves_tells_how_it_went(run, tmp_path):
    run(remembered, place=str(tmp_path / "lines"))
    folder = tmp_path / "remembered" / "job-1"
    told = json.loads((folder / "job.json").read_text())
    assert told["state"] == SUCCEEDED
    assert told["outputs"] == {"Output": 1}
    assert told["tasks"] == {"tally": {"state": "SUCCEEDED", "error": ""}}
    (kept,) = Journal(folder).tasks()
    assert (kept.name, kept.parameters, kept.tries) == ("tally", {"Output": 1}, 1)


# --- secrets ---------------------------------------------------------------------------------


@component
def has_secret() -> bool:
    import os

    return os.environ.get("DB_PASSWORD") == "-".join(["s3cret", "value"])


@dsl.pipeline(name="secretive")
def secretive() -> bool:
    return has_secret().output


def _with_secret(load):
    spec = load(secretive).spec
    pairs = [{"secretKey": "password", "envVar": "DB_PASSWORD"}]
    wanted = {"secretAsEnv": [{"secretName": "db", "keyToEnv": pairs}]}
    executors = {"executors": {"exec-has-secret": wanted}}
    return {**spec, "platforms": {"kubernetes": {"deploymentSpec": executors}}}


def test_a_secret_comes_from_where_the_config_says_and_is_written_nowhere(
    load, tmp_path, watch, monkeypatch
):
    monkeypatch.setenv("REAL_PASSWORD", "s3cret-value")
    secrets = {"secrets": {"db": {"password": "env:REAL_PASSWORD"}}}
    config = Config(workspace=tmp_path, pipelines=secrets)
    session = Session(config, plugins={"kfp": KfpPlugin})
    pipeline = session.ask(PipelineHooks.mlops_load_pipeline, template=_with_secret(load))
    made = Job(session, Plan(pipeline, "job-1", str(tmp_path / "root")), watch)
    made.open()
    assert made.start().result().outputs == {"Output": True}
    session.close()
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert kept
    assert not [file for file in kept if b"s3cret-value" in file.read_bytes()]


def test_a_secret_that_the_config_does_not_know_is_named_before_any_task_runs(job, load, tmp_path):
    with pytest.raises(ConfigError, match="'password' of the secret 'db'"):
        job(_with_secret(load))
    assert list(tmp_path.iterdir()) == []


def until(holds, seconds=20):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
