"""A compiled pipeline -> its record, and what is wrong with it -> our error."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from unified_mlops.errors import ArgumentError
from unified_mlops.records import PipelineRecord, Ref


def pipeline(spec: Mapping[str, Any]) -> PipelineRecord:
    """The record of a compiled pipeline.

    Raises:
        ArgumentError: it is none.
    """
    try:
        name = str(spec["pipelineInfo"]["name"])
        spec["root"], spec["schemaVersion"]
    except (KeyError, TypeError) as error:
        raise ArgumentError(
            f"this is no compiled pipeline: it has no {error}",
            hint="compile it with kfp.compiler.Compiler().compile(pipeline, path)",
        ) from error
    text = json.dumps(_whole(spec), sort_keys=True, separators=(",", ":"))
    key = f"{name}@{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return PipelineRecord(
        ref=Ref("kfp", "pipeline", key, f"kfp:pipeline/{key}"), name=name, spec=spec
    )


def _whole(value: Any) -> Any:
    """The value as KFP's protobuf holds it, which knows no difference between 1 and 1.0."""
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
