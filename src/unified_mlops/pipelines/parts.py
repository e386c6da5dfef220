"""What the outputs of a task depend on, part by part, and in what two runs of it differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unified_mlops.pipelines import component as lightweight
from unified_mlops.pipelines.identity import Identity

if TYPE_CHECKING:
    from unified_mlops.pipelines.inputs import Values
    from unified_mlops.pipelines.spec import Component

Parts = Mapping[str, Any]
"""What the outputs of a task depend on: plain values by a name that people can read."""

_GIVEN = "cache key"
_COMPONENT = ("inputs", "outputs", "image", "command", "arguments")
_LONGEST = 60  # characters of a value in a reason


def parts(
    pipeline_name: str,
    component: Component,
    inputs: Values,
    executor: Mapping[str, Any],
    identity: Identity,
    given: str = "",
) -> dict[str, Any]:
    """What a task's outputs depend on.

    Args:
        pipeline_name: keys of two pipelines never meet.
        component: what the task runs.
        inputs: what it receives, with what only placeholders need.
        executor: KFP's executor with its placeholders unresolved: they differ from run to run.
        identity: tells what artifacts are.
        given: the key that the user chose, which then stands for all else.
    """
    container = executor.get("container", {})
    light = lightweight.component(executor)
    return {
        "pipeline": pipeline_name,
        **({_GIVEN: given} if given else {}),
        **_received(inputs, identity),
        **_environment(component, container),
        "requirements": list(light.requirements) if light else [],
        "inputs": {name: [item.type, item.default] for name, item in component.parameters.items()},
        "outputs": {
            "parameters": dict(component.results),
            "artifacts": dict(component.products),
        },
        "image": container.get("image", ""),
        "command": _hash(container.get("command", ())),
        "arguments": container.get("args", []),
    }


def key_of(parts: Parts, task: str) -> str:
    """The key of a task with these parts; one that the user gave counts for this task alone."""
    chosen = parts.get(_GIVEN)
    return _hash([parts["pipeline"], task, chosen] if chosen else parts).removeprefix("sha256:")


def compare(now: Parts, before: Parts) -> str:
    """In what a task differs from its last run, in a few words.

    Args:
        now: its parts.
        before: those of its last run; empty where there was none.
    """
    if not before:
        return "first run of this task"
    names = [_GIVEN] if _GIVEN in now and _GIVEN in before else [*now, *(before.keys() - now)]
    other = [name for name in names if not _same(now.get(name), before.get(name))]
    told = [_change(name, now, before) for name in other if name not in _COMPONENT]
    if changed := [name for name in other if name in _COMPONENT]:
        told.append(f"component changed: {', '.join(changed)}")
    return "; ".join(told) or "what the last run made is not kept"


def short(value: Any) -> str:
    """A part's value as text of one line."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _received(inputs: Values, identity: Identity) -> dict[str, Any]:
    found = {f"parameter {name!r}": value for name, value in inputs.parameters.items()}
    for name, items in inputs.artifacts.items():
        for number, item in enumerate(items):
            place = f"{name}[{number}]" if len(items) > 1 else name
            found[f"artifact {place!r}"] = identity(item)
    return found


def _environment(component: Component, container: Mapping[str, Any]) -> dict[str, str]:
    """The variables: hashes of their values, and where secrets come from."""
    own = {item["name"]: _hash(item.get("value")) for item in container.get("env", ())}
    secrets = {item.variable: f"secret {item.name}/{item.key}" for item in component.secrets}
    return {f"variable {name!r}": value for name, value in (secrets | own).items()}


def _hash(value: Any) -> str:
    return f"sha256:{hashlib.sha256(_text(value).encode()).hexdigest()}"


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same in a key, where 1, 1.0 and true are three."""
    return _text(one) == _text(other)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _change(name: str, now: Parts, before: Parts) -> str:
    if name not in before:
        return f"{name} is new"
    if name not in now:
        return f"{name} is gone"
    if name.startswith("artifact "):
        other = [part for part in now[name] if not _same(now[name][part], before[name].get(part))]
        return f"{name} changed: its {' and '.join(other)}"
    if name.startswith("variable "):
        return f"{name} changed"
    return f"{name} changed: {short(before[name])} -> {short(now[name])}"
