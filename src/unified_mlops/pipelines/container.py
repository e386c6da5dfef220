"""A container as KFP's driver hands it to a machine: placeholders filled, resources as numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from unified_mlops.errors import ArgumentError
from unified_mlops.pipelines import staging
from unified_mlops.pipelines.component import component
from unified_mlops.pipelines.inputs import Lookup, Values, with_inputs
from unified_mlops.pipelines.spec import Component
from unified_mlops.pipelines.values import fill, text

_ARTIFACT = re.compile(
    r"""(inputs|outputs)\.artifacts\[(["'])(.*?)\2\]\.(uri|path|name|metadata)(?:\[(["'])(.*)\5\])?"""
)
_FILE = re.compile(r"""outputs\.parameters\[(["'])(.*)\1\]\.output_file""")
_QUANTITY = re.compile(r"([0-9.]+)(m|[kKMGTPE]i?)?")
_SCALE = {"": 1.0, "m": 1e-3, "k": 1e3, **{u: 1e3**n for n, u in enumerate("KMGTPE", 1)}}
_SCALE |= {f"{unit}i": 1024.0**power for power, unit in enumerate("KMGTPE", 1)}


def located(uri: str) -> str:
    """Where an artifact is; a path is one from here, whichever folder its reader stands in."""
    return uri if "://" in uri else str(Path(uri).expanduser().absolute())


def executor_input(component: Component, inputs: Values, folder: str, place: str) -> dict[str, Any]:
    """KFP's `ExecutorInput`, without the values that only placeholders needed.

    Args:
        component: what is run.
        inputs: what it receives.
        folder: where its output parameters and its result go.
        place: the URI below which its output artifacts go.
    """
    taken, given = component.parameters, inputs.parameters
    return {
        "inputs": {
            "parameterValues": {name: given[name] for name in taken if name in given},
            "artifacts": {
                name: {"artifacts": list(value)}
                for name, value in inputs.artifacts.items()
                if name in component.artifacts
            },
        },
        "outputs": {
            "parameters": {
                name: {"outputFile": str(PurePosixPath(folder, name))} for name in component.results
            },
            "artifacts": {
                name: {"artifacts": [_product(name, kind, place)]}
                for name, kind in component.products.items()
            },
            "outputFile": str(PurePosixPath(folder, "executor_output.json")),
        },
    }


def _product(name: str, kind: Mapping[str, Any], place: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "uri": f"{place}/{name}", "metadata": {}}


def resolve(
    executor: Mapping[str, Any], given: Mapping[str, Any], inputs: Mapping[str, Any], job: Lookup
) -> dict[str, Any]:
    """The executor with its placeholders filled.

    In the source of a lightweight component nothing is touched.

    Args:
        executor: KFP's executor.
        given: its `ExecutorInput`.
        inputs: the task's parameters, those that only placeholders need too.
        job: gives the value of a placeholder for the job or the task.
    """
    container = dict(executor["container"])
    known = with_inputs(inputs, job)

    def lookup(placeholder: str) -> Any:
        found = _of_executor(placeholder, given)
        return known(placeholder) if found is None else found

    if component(executor) is None:
        for part in ("command", "args"):
            words = (_expand(word, given, lookup) for word in container.get(part, ()))
            container[part] = [word for words_of in words for word in words_of]
    container["resources"] = fill(container.get("resources", {}), lookup)
    return {**executor, "container": container}


def _expand(word: str, given: Mapping[str, Any], lookup: Lookup) -> list[str]:
    """A word of the command line; `Concat` and `IfPresent` stand in it as JSON."""
    if word.startswith(('{"Concat"', '{"IfPresent"')):
        return _structure(json.loads(word), given, lookup)
    return [_filled(word, given, lookup)]


def _filled(word: str, given: Mapping[str, Any], lookup: Lookup) -> str:
    """A word with its placeholders filled once; `{{$}}` is the whole `ExecutorInput`."""
    return json.dumps(given).join(text(fill(part, lookup)) for part in word.split("{{$}}"))


def _structure(value: Any, given: Mapping[str, Any], lookup: Lookup) -> list[str]:
    if isinstance(value, str):
        return [_filled(value, given, lookup)]
    if isinstance(value, list):
        return [word for item in value for word in _structure(item, given, lookup)]
    if "Concat" in value:
        return ["".join(_structure(value["Concat"], given, lookup))]
    chosen = value["IfPresent"]
    name = chosen["InputName"]
    there = name in given["inputs"]["parameterValues"] or name in given["inputs"]["artifacts"]
    return _structure(chosen["Then"] if there else chosen.get("Else", []), given, lookup)


def _of_executor(placeholder: str, given: Mapping[str, Any]) -> Any | None:
    """The value of a placeholder for an artifact or an output file; None for any other."""
    if found := _FILE.fullmatch(placeholder):
        return given["outputs"]["parameters"][found[2]]["outputFile"]
    found = _ARTIFACT.fullmatch(placeholder)
    if not found:
        return None
    artifact = given[found[1]]["artifacts"][found[3]]["artifacts"][0]
    if found[4] == "metadata":
        metadata = artifact.get("metadata", {})
        return metadata.get(found[6], "") if found[6] else metadata
    if found[4] == "path":
        folder = Path(given["outputs"]["outputFile"]).parent
        return str(staging.path(artifact["uri"], folder))
    return artifact[found[4]]


def resources(raw: Mapping[str, Any]) -> dict[str, float]:
    """KFP's limits, or where there are none its requests, as `cpus`, `memory_bytes` and `gpus`.

    Raises:
        ArgumentError: one is no quantity.
    """
    accelerator = raw.get("accelerator", {})
    found = {
        "cpus": raw.get("resourceCpuLimit") or raw.get("resourceCpuRequest"),
        "memory_bytes": raw.get("resourceMemoryLimit") or raw.get("resourceMemoryRequest"),
        "gpus": accelerator.get("resourceCount") or accelerator.get("count"),
    }
    found["cpus"] = found["cpus"] or raw.get("cpuLimit")
    found["memory_bytes"] = found["memory_bytes"] or raw.get("memoryLimit", 0) * 1e9
    return {name: _quantity(value) for name, value in found.items() if value}


def _quantity(value: Any) -> float:
    """A Kubernetes quantity, such as `500m` or `2Gi`."""
    if isinstance(value, int | float):
        return float(value)
    found = _QUANTITY.fullmatch(str(value).strip())
    if not found:
        raise ArgumentError(f"{value!r} is no quantity", hint="such as '2', '500m' or '4Gi'")
    return float(found[1]) * _SCALE[found[2] or ""]
