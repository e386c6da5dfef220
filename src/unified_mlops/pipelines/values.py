"""Parameter values: whole numbers stay integers, types are bound as KFP's driver binds them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from unified_mlops.errors import ArgumentTypeError, UnsupportedError

_WHOLE = 1e21  # KFP writes larger floats with an exponent, and so they stay floats
_PLACEHOLDER = re.compile(r"\{\{\$\.(.*?)\}\}")
_INPUT = re.compile(r"inputs\.parameters\[(['\"])(.*)\1\]")

JOB_PLACEHOLDERS = frozenset(
    [
        *("pipeline_job_name", "pipeline_job_uuid", "pipeline_job_resource_name"),
        *("pipeline_job_create_time_utc", "pipeline_job_schedule_time_utc"),
        *("pipeline_task_name", "pipeline_task_uuid", "pipeline_root", "workspace_path"),
    ]
)
"""The placeholders that may stand in a constant, besides those for input parameters."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "STRING": (str,),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
    "TASK_FINAL_STATUS": (dict,),
    "TASK_CONFIG": (dict,),
}


def whole(value: Any) -> Any:
    """The value with integral floats as integers, at any depth: a compiled file has no others."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE:
        return int(value)
    if isinstance(value, Mapping):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [whole(item) for item in value]
    return value


def text(value: Any) -> str:
    """The value as KFP writes it into text: JSON, except that text is itself."""
    return value if isinstance(value, str) else json.dumps(value)


def fits(value: Any, kind: str) -> bool:
    """Whether a value is of one of KFP's parameter types."""
    if isinstance(value, bool):
        return kind == "BOOLEAN"
    return isinstance(value, _TYPES[kind])


def bind(value: Any, kind: str, name: str) -> Any:
    """A value as an input of type `kind` receives it: text takes anything, the others their own.

    Raises:
        ArgumentTypeError: the value is of another type.
    """
    value = whole(value)
    if kind == "STRING":
        return text(value)
    if fits(value, kind):
        return value
    raise mismatch(name, value, kind)


def mismatch(name: str, value: Any, kind: str) -> ArgumentTypeError:
    """The error for a value of the wrong type."""
    want = " or ".join(dict.fromkeys(kind.__name__ for kind in _TYPES[kind]))
    shown = repr(value) if len(repr(value)) <= 100 else repr(value)[:100] + "…"
    return ArgumentTypeError(
        f"parameter {name!r} is {kind}, and {shown} is {type(value).__name__}",
        hint=f"give {name!r} a value of type {want}",
    )


def known_types() -> tuple[str, ...]:
    """KFP's names of the parameter types."""
    return tuple(_TYPES)


def placeholders(value: Any) -> Iterator[str]:
    """What stands between `{{$.` and `}}`, anywhere in a constant."""
    if isinstance(value, str):
        yield from _PLACEHOLDER.findall(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (*placeholders(key), *placeholders(item))
    elif isinstance(value, list):
        for item in value:
            yield from placeholders(item)


def check_placeholders(value: Any, where: str) -> None:
    """See that a constant has no placeholder but those for the job and for input parameters.

    Raises:
        UnsupportedError: it has another.
    """
    for found in placeholders(value):
        if found not in JOB_PLACEHOLDERS and input_of(found) is None:
            raise UnsupportedError(
                f"{where}: the placeholder '{{{{$.{found}}}}}' means nothing to us",
                hint="use one of: " + ", ".join(sorted(JOB_PLACEHOLDERS)),
            )


def input_of(placeholder: str) -> str | None:
    """The input parameter that a placeholder stands for."""
    found = _INPUT.fullmatch(placeholder)
    return found and found[2]


def fill(value: Any, lookup: Callable[[str], Any]) -> Any:
    """A constant with its placeholders replaced, once: what comes in is not looked at again.

    A text that is one placeholder becomes the value itself, of whatever type.
    """
    if isinstance(value, Mapping):
        return {fill(key, lookup): fill(item, lookup) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, lookup) for item in value]
    if not isinstance(value, str):
        return value
    alone = _PLACEHOLDER.fullmatch(value)
    if alone and len(_PLACEHOLDER.findall(value)) == 1:
        return lookup(alone[1])
    return _PLACEHOLDER.sub(lambda found: text(lookup(found[1])), value)
