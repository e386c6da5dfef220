# The bodies and signatures of components and pipelines are what users write.
# ruff: noqa: PTH123, PTH202, B006, RUF013, SIM117, UP014
import json
from functools import partial
from typing import NamedTuple

import pytest
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output, OutputPath

from unified_mlops.errors import (
    AlreadyExistsError,
    ArgumentError,
    ArgumentTypeError,
    UnsupportedError,
)

component = partial(dsl.component, base_image="python:3.11")
SUCCEEDED = "PIPELINE_STATE_SUCCEEDED"


@component
def say(text: str) -> str:
    return text


@component
def add(a: int, b: int = 1) -> int:
    assert type(a) is int
    return a + b


@component
def fail(text: str = "no reason") -> str:
    raise ValueError(text)


@component
def write(rows: int, data: Output[Dataset]):
    with open(data.path, "w") as file:
        file.write("x" * rows)
    data.metadata["rows"] = rows


@component
def measure(data: Input[Dataset], scale: float = 2.0) -> float:
    import os

    assert data.metadata["rows"] == os.path.getsize(data.path)
    return os.path.getsize(data.path) * scale


@component
def show(value: dict, items: list) -> str:
    return repr([value, items])


@component
def wait(seconds: float) -> float:
    import time

    start = time.time()
    time.sleep(seconds)
    return start


# --- order, parameters, artifacts ------------------------------------------------------------


@dsl.pipeline(name="sequence")
def sequence(rows: int = 3) -> float:
    made = write(rows=rows)
    return measure(data=made.outputs["data"]).output


def test_an_artifact_and_its_metadata_go_from_task_to_task(run, tmp_path):
    result = run(sequence, rows=5)
    assert (result.state, dict(result.outputs)) == (SUCCEEDED, {"Output": 10})
    (made,) = result.tasks["write"].artifacts["data"]
    assert made["metadata"] == {"rows": 5}
    assert made["type"]["schemaTitle"] == "system.Dataset"
    assert made["uri"] == str(tmp_path / "sequence" / "job-1" / "write" / "data")


def test_a_default_of_the_pipeline_counts_where_nothing_is_given(run):
    assert run(sequence).outputs == {"Output": 6}


def test_tasks_have_vertex_refs_and_records_by_name(run, watch):
    result = run(sequence)
    ref = result.tasks["measure"].ref
    assert (ref.plugin, ref.kind, ref.id) == ("kfp", "task", "job-1/measure")
    assert ref.uri == "kfp://local/runs/job-1/measure"
    assert watch.started == ["write", "measure"]
    assert watch.finished == {"write": "SUCCEEDED", "measure": "SUCCEEDED"}


def test_the_run_leaves_its_definition_parameters_and_states(run, tmp_path, load):
    run(sequence, rows=2)
    job = json.loads((tmp_path / "sequence" / "job-1" / "job.json").read_text())
    assert job["pipeline"] == {"name": "sequence", "uri": load(sequence).ref.uri}
    assert job["parameters"] == {"rows": 2}
    assert job["state"] == SUCCEEDED
    assert job["tasks"]["measure"] == {"state": "SUCCEEDED", "error": ""}


def test_a_job_id_is_used_once(run):
    run(sequence)
    with pytest.raises(AlreadyExistsError, match="job-1"):
        run(sequence)


@dsl.pipeline(name="parallel")
def parallel():
    for _ in range(4):
        wait(seconds=0.5).set_caching_options(False)


def test_independent_tasks_run_at_the_same_time(run, watch):
    result = run(parallel)
    assert result.state == SUCCEEDED
    starts = [task.parameters["Output"] for task in result.tasks.values()]
    assert max(starts) - min(starts) < 0.5
    assert len(watch.threads) == 4


@component
def environment() -> str:
    import os

    return os.environ["TASK"] + os.environ.get("OWN", "")


@dsl.pipeline(name="variables")
def variables() -> str:
    return environment().set_env_variable("OWN", "!").output


def test_the_observer_and_the_component_add_variables_to_a_task(run):
    assert run(variables).outputs == {"Output": "environment!"}


# --- values ----------------------------------------------------------------------------------


@dsl.pipeline(name="whole")
def whole_numbers(n: int = 3, items: list = [1, 2.5, {"a": 2}], text: str = "t") -> str:
    made = add(a=n)
    given = {"n": made.output, "one": 1, "text": f"{text}-{made.output}"}
    return show(value=given, items=items).output


def test_integers_stay_integers_in_lists_dicts_and_placeholders(run):
    expected = "[{'n': 4, 'one': 1, 'text': 't-4'}, [1, 2.5, {'a': 2}]]"
    assert run(whole_numbers).outputs == {"Output": expected}


def test_text_that_looks_like_a_placeholder_or_a_command_is_left_alone(run):
    text = "{{$.pipeline_job_name}} python3 '\"$(id)"
    result = run(whole_numbers, text=text)
    assert repr(f"{text}-4") in result.outputs["Output"]


@component
def big(size: int) -> str:
    return "x" * size


@component
def length(text: str) -> int:
    return len(text)


@dsl.pipeline(name="large")
def large() -> int:
    return length(text=big(size=400_000).output).output


def test_a_parameter_may_be_larger_than_an_argument_list(run):
    assert run(large).outputs == {"Output": 400_000}


@component
def several(n: int, path: OutputPath(int), model: Output[Model]) -> NamedTuple(
    "Several", [("flag", bool), ("things", list)]
):
    with open(path, "w") as file:
        file.write(str(n))
    model.framework = "none"
    return (n > 1, [n, 1.5])


@dsl.pipeline(name="coercion")
def coercion() -> str:
    made = several(n=2).outputs
    return say(text=f"{made['flag']} {made['things']} {made['path']}").output


def test_outputs_by_file_and_by_tuple_are_typed_and_become_text_where_text_is_wanted(run):
    result = run(coercion)
    assert result.outputs == {"Output": "true [2, 1.5] 2"}
    assert result.tasks["several"].parameters == {"flag": True, "things": [2, 1.5], "path": 2}
    assert result.tasks["several"].artifacts["model"][0]["metadata"] == {"framework": "none"}


@dsl.pipeline(name="placeholders")
def job_placeholders(name: str = dsl.PIPELINE_JOB_NAME_PLACEHOLDER) -> str:
    about = f"{dsl.PIPELINE_JOB_ID_PLACEHOLDER} {dsl.PIPELINE_TASK_NAME_PLACEHOLDER} {name}"
    return say(text=about).output


def test_placeholders_say_which_job_and_task_this_is(run):
    assert run(job_placeholders).outputs == {"Output": "job-1 say job-1"}
    assert run(job_placeholders, "job-2", name="n").outputs == {"Output": "job-2 say n"}


@component
def optional(text: str = "default", missing: int = None, data: Input[Artifact] = None) -> str:
    return f"{text} {missing} {data}"


@dsl.pipeline(name="optional")
def optional_inputs(text: str = None, n: int = None) -> str:
    return optional(text=text, missing=n).output


def test_an_input_without_a_value_is_left_to_the_function(run):
    assert run(optional_inputs).outputs == {"Output": "default None None"}
    assert run(optional_inputs, "job-2", n=3).outputs == {"Output": "default 3 None"}


# --- conditions and nested pipelines ---------------------------------------------------------


@dsl.pipeline(name="branches")
def branches(n: int, rate: float = 0.5) -> str:
    made = add(a=n)
    with dsl.If(made.output == 1):
        one = say(text="one")
    with dsl.Elif(rate > 0.7):
        two = say(text="high")
    with dsl.Else():
        three = say(text="else")
    last = say(text=dsl.OneOf(one.output, two.output, three.output))
    return last.output


@pytest.mark.parametrize(
    ("n", "rate", "expected", "ran"),
    [(0, 0.5, "one", "say"), (5, 0.8, "high", "say-2"), (5, 0.5, "else", "say-3")],
)
def test_one_branch_runs_and_the_others_are_not_triggered(run, n, rate, expected, ran, watch):
    result = run(branches, n=n, rate=rate)
    assert (result.state, result.outputs["Output"]) == (SUCCEEDED, expected)
    states = {name: result.tasks[name].state for name in ("say", "say-2", "say-3")}
    assert states.pop(ran) == "SUCCEEDED"
    assert set(states.values()) == {"NOT_TRIGGERED"}
    assert watch.started == ["add", ran, "say-4"]
    leaves = {name for name in watch.finished if "condition" not in name}
    assert leaves == {"add", "say", "say-2", "say-3", "say-4"}


@dsl.pipeline(name="nested-conditions")
def nested_conditions(flag: bool, text: str):
    with dsl.If(flag == True):  # noqa: E712
        with dsl.If(text != "q"):
            say(text="inner")
    say(text="outer")


def test_a_value_cannot_become_part_of_a_condition(run):
    result = run(nested_conditions, flag=True, text="q' || 'a' == 'a")
    assert result.tasks["say"].state == "SUCCEEDED"
    result = run(nested_conditions, "job-2", flag=True, text="q")
    assert result.tasks["say"].state == "NOT_TRIGGERED"
    assert result.tasks["say-2"].state == "SKIPPED"
    assert result.state == SUCCEEDED


@dsl.pipeline(name="inner")
def inner(k: int = 5, name: str = "in") -> NamedTuple("O", [("sum", int), ("said", str)]):
    outputs = NamedTuple("O", [("sum", int), ("said", str)])
    return outputs(sum=add(a=k).output, said=say(text=name).output)


@dsl.pipeline(name="outer")
def outer(k: int) -> int:
    first = inner()
    second = inner(k=k, name=first.outputs["said"])
    return add(a=first.outputs["sum"], b=second.outputs["sum"]).output


def test_a_nested_pipeline_has_its_own_defaults_and_names(run):
    result = run(outer, k=10)
    assert result.outputs == {"Output": 17}
    assert result.tasks["inner-2"].parameters == {"sum": 11, "said": "in"}
    assert result.tasks["inner-2.add"].parameters == {"Output": 11}
    assert result.tasks["add"].parameters == {"Output": 17}


@dsl.pipeline(name="either")
def either(flag: bool) -> Dataset:
    with dsl.If(flag == True):  # noqa: E712
        one = write(rows=1)
    with dsl.Else():
        two = write(rows=2)
    return dsl.OneOf(one.outputs["data"], two.outputs["data"])


@pytest.mark.parametrize(("flag", "rows"), [(True, 1), (False, 2)])
def test_the_artifact_of_the_branch_that_ran_is_given_out(run, flag, rows):
    (artifact,) = run(either, flag=flag).artifacts["Output"]
    assert artifact["metadata"] == {"rows": rows}


# --- failures --------------------------------------------------------------------------------


@dsl.pipeline(name="diamond")
def diamond():
    broken = fail(text="on purpose")
    left = say(text=broken.output)
    say(text="independent")
    add(a=1).after(left)


def test_a_failed_task_stops_those_that_need_it_and_no_other(run, watch):
    result = run(diamond)
    assert result.state == "PIPELINE_STATE_FAILED"
    states = {name: task.state for name, task in result.tasks.items()}
    assert states == {
        "fail": "FAILED",
        "say": "NOT_TRIGGERED",
        "say-2": "SUCCEEDED",
        "add": "NOT_TRIGGERED",
    }
    assert result.tasks["fail"].error == "ValueError: on purpose"
    assert watch.finished == states


@dsl.pipeline(name="mismatch")
def mismatch():
    with dsl.If(say(text="x").output == "x"):
        say(text="never")


def test_an_input_of_the_wrong_type_fails_its_task_and_what_is_below(run, load):
    spec = load(mismatch).spec
    inputs = spec["components"]["comp-condition-1"]["inputDefinitions"]["parameters"]
    inputs["pipelinechannel--say-Output"]["parameterType"] = "LIST"
    result = run(spec)
    assert result.state == "PIPELINE_STATE_FAILED"
    assert "is LIST, and 'x' is str" in result.tasks["condition-1"].error
    assert result.tasks["say-2"].state == "NOT_TRIGGERED"


@dsl.pipeline(name="undecidable")
def undecidable(text: str):
    with dsl.If(text == "x"):
        say(text="never")


def test_a_condition_that_cannot_be_decided_fails_its_task(run, load):
    spec = load(undecidable).spec
    task = spec["root"]["dag"]["tasks"]["condition-1"]
    task["triggerPolicy"]["condition"] = "int(inputs.parameter_values['pipelinechannel--text']) > 1"
    result = run(spec, text="abc")
    assert result.tasks["condition-1"].state == "FAILED"
    assert "cannot be decided" in result.tasks["condition-1"].error


def test_a_pipeline_that_failed_says_so_in_its_file(run, tmp_path):
    run(diamond)
    job = json.loads((tmp_path / "diamond" / "job-1" / "job.json").read_text())
    assert job["state"] == "PIPELINE_STATE_FAILED"
    assert job["tasks"]["fail"] == {"state": "FAILED", "error": "ValueError: on purpose"}


# --- what is refused before anything runs ----------------------------------------------------


def test_an_unknown_parameter_names_the_valid_ones(run, tmp_path):
    with pytest.raises(ArgumentError, match="'row'") as caught:
        run(sequence, row=1)
    assert caught.value.hint == "'sequence' takes: rows"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_parameter_is_named(run):
    with pytest.raises(ValueError, match="'n' is missing"):
        run(branches)


@pytest.mark.parametrize("n", ["3", 3.5, True, [3]])
def test_a_parameter_of_the_wrong_type_is_refused(run, n):
    with pytest.raises(ArgumentTypeError, match="'n' is NUMBER_INTEGER"):
        run(branches, n=n)


def test_a_whole_float_is_an_integer(run):
    assert run(branches, n=0.0).outputs == {"Output": "one"}


@dsl.container_component
def container():
    return dsl.ContainerSpec(image="alpine", command=["echo"])


@dsl.pipeline(name="containers")
def containers():
    container()


def test_what_cannot_be_run_is_named_before_any_task_runs(run, tmp_path):
    with pytest.raises(UnsupportedError, match="container component"):
        run(containers)
    assert list(tmp_path.iterdir()) == []


def test_settings_that_only_kubernetes_honours_are_named(run, load, tmp_path):
    setting = {"nodeSelector": {"labels": {"disk": "ssd"}}}
    executors = {"executors": {"exec-add": setting}}
    spec = {**load(sequence).spec, "platforms": {"kubernetes": {"deploymentSpec": executors}}}
    with pytest.raises(UnsupportedError, match="'nodeSelector'") as caught:
        run(spec)
    assert caught.value.hint == 'PipelineJob(..., runner="kfp")'
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_placeholder_and_an_old_schema_are_refused(run, load):
    spec = load(sequence).spec
    with pytest.raises(UnsupportedError, match=r"2\.0\.0"):
        run({**spec, "schemaVersion": "2.0.0"})
    given = spec["root"]["dag"]["tasks"]["write"]["inputs"]["parameters"]
    given["rows"] = {"runtimeValue": {"constant": "{{$.moon}}"}}
    with pytest.raises(UnsupportedError, match="moon"):
        run(spec)


def test_a_damaged_file_and_a_cycle_are_refused(run, load):
    spec = load(sequence).spec
    with pytest.raises(ArgumentError, match="damaged"):
        run({**spec, "components": {}})
    spec["root"]["dag"]["tasks"]["write"]["dependentTasks"] = ["measure"]
    with pytest.raises(ArgumentError, match="wait for one another"):
        run(spec)
