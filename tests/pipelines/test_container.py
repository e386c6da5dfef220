"""A container's command line: each placeholder is filled once, wherever it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest

from unified_mlops.pipelines.container import resolve

GIVEN: dict[str, Any] = {
    "inputs": {
        "parameterValues": {"x": "{{$}}", "y": 3},
        "artifacts": {"d": {"artifacts": [{"uri": "/data/d", "metadata": {"rows": 5}}]}},
    },
    "outputs": {
        "parameters": {"r": {"outputFile": "/task/r"}},
        "artifacts": {"o": {"artifacts": [{"uri": "/root/o", "metadata": {}}]}},
        "outputFile": "/task/executor_output.json",
    },
}


def words(*args: str) -> list[str]:
    """The arguments of a container as they are handed on."""
    executor = {"container": {"image": "alpine", "args": list(args)}}
    values = {"x": "{{$}}", "y": 3}
    resolved = resolve(executor, GIVEN, values, {"pipeline_job_name": "job-1"}.__getitem__)
    found: list[str] = resolved["container"]["args"]
    return found


def test_a_value_that_looks_like_a_placeholder_stays_as_it_is() -> None:
    assert words("{{$.inputs.parameters['x']}}") == ["{{$}}"]
    assert words("say {{$.inputs.parameters['x']}}!") == ["say {{$}}!"]


def test_the_executor_input_stands_where_a_word_asks_for_it() -> None:
    whole = json.dumps(GIVEN)
    assert words("{{$}}", "--input={{$}}") == [whole, f"--input={whole}"]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("{{$.inputs.parameters['y']}}", "3"),
        ("{{$.inputs.artifacts['d'].uri}}", "/data/d"),
        ("{{$.inputs.artifacts['d'].path}}", "/data/d"),
        ("{{$.inputs.artifacts['d'].metadata['rows']}}", "5"),
        ("{{$.outputs.artifacts['o'].path}}", "/root/o"),
        ("{{$.outputs.parameters['r'].output_file}}", "/task/r"),
        ("at {{$.pipeline_job_name}}", "at job-1"),
    ],
)
def test_inputs_outputs_and_the_job_are_known(word: str, found: str) -> None:
    assert words(word) == [found]


def test_words_are_joined_and_chosen_by_what_is_there() -> None:
    joined = {"Concat": ["a-", {"IfPresent": {"InputName": "y", "Then": "b", "Else": "c"}}]}
    there = {"IfPresent": {"InputName": "y", "Then": ["--y", "{{$.inputs.parameters['y']}}"]}}
    absent = {"IfPresent": {"InputName": "z", "Then": ["--z"], "Else": ["--none"]}}
    listed = [json.dumps(item) for item in (joined, there, absent)]
    assert words(*listed) == ["a-b", "--y", "3", "--none"]


def test_the_source_of_a_lightweight_component_is_not_touched() -> None:
    command = ["sh", "-c", "python -m x --component_module_path $0", "text = '{{$}}'"]
    args = ["--executor_input", "{{$}}", "--function_to_execute", "f"]
    executor = {"container": {"image": "python", "command": command, "args": args}}
    resolved = resolve(executor, GIVEN, {}, {}.__getitem__)["container"]
    assert (resolved["command"], resolved["args"]) == (command, args)
