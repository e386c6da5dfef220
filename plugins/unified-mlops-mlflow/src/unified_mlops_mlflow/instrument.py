"""For `umlops run`: an input that is logged natively keeps where its columns came from.

It is logged with its true URI as an input tag, and, where its frame carries a stamp in its `attrs`,
such as one that Feast returned or that was read back from parquet, with the origins of its columns
as run tags, in the form of `datasets`: MLflow itself keeps neither.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from unified_mlops.lineage import urn
from unified_mlops.records import DatasetRecord, Ref
from unified_mlops_mlflow import datasets, runs
from unified_mlops_mlflow.convert import PLUGIN

STAMP = "unified_mlops"
"""The key in a frame's `attrs`: `{"columns": {column: [URNs]}, "uri": URN of the retrieval}`."""


def keep_origins(fluent: ModuleType) -> None:
    """Wrap `log_input` and `log_inputs` of `mlflow.tracking.fluent`."""
    fluent.log_input = _wrapped(fluent, fluent.log_input, _one)  # type: ignore[attr-defined]
    fluent.log_inputs = _wrapped(fluent, fluent.log_inputs, _many)  # type: ignore[attr-defined]


_Prepare = Callable[[dict[str, Any]], list[DatasetRecord]]


def _wrapped(fluent: Any, native: Callable[..., Any], prepare: _Prepare) -> Callable[..., Any]:
    signature = inspect.signature(native)

    @functools.wraps(native)
    def log(*args: Any, **kwargs: Any) -> Any:
        records: list[DatasetRecord] = []
        try:
            bound = signature.bind(*args, **kwargs)
            records = prepare(bound.arguments)
            args, kwargs = bound.args, bound.kwargs
        except Exception as error:  # noqa: BLE001  the input is logged in any case
            warnings.warn(f"origins of columns are not kept: {error}", stacklevel=2)
        answer = native(*args, **kwargs)
        try:
            _log_columns(fluent, records)
        except Exception as error:  # noqa: BLE001  the input is logged
            warnings.warn(f"origins of columns are not kept: {error}", stacklevel=2)
        return answer

    return log


def _one(arguments: dict[str, Any]) -> list[DatasetRecord]:
    record = placed(arguments.get("dataset"))
    if record is None:
        return []
    arguments["tags"] = {datasets.URI_TAG: record.ref.uri, **(arguments.get("tags") or {})}
    return [record]


def _many(arguments: dict[str, Any]) -> list[DatasetRecord]:
    records = [placed(each) for each in arguments.get("datasets") or ()]
    tags = list(arguments.get("tags_list") or ())
    if len(tags) == len(records):  # or MLflow is about to refuse the call
        for at, record in enumerate(records):
            if record is not None:
                tags[at] = {datasets.URI_TAG: record.ref.uri, **(tags[at] or {})}
        arguments["tags_list"] = tags
    return [record for record in records if record is not None]


def placed(dataset: Any) -> DatasetRecord | None:
    """The record of one of MLflow's datasets that has a place, or a stamp that names one."""
    frame: Any = getattr(dataset, "df", None)
    stamp = getattr(frame, "attrs", {}).get(STAMP)
    stamp = stamp if isinstance(stamp, dict) else {}
    source = dataset.source.to_dict()
    place = next((source[key] for key in ("uri", "path", "url") if source.get(key)), None)
    made_by = stamp.get("uri")
    place = made_by if place is None or datasets.PHANTOM in str(place) else place
    if place is None:
        return None
    uri = urn.canonical(str(place), Path.cwd())
    origins = stamp.get("columns", {})
    columns = {name: tuple(origins.get(name, ())) for name in origins and map(str, frame.columns)}
    if made_by and made_by != uri:
        columns[datasets.WHOLE_FRAME] = (str(made_by),)
    return DatasetRecord(ref=Ref(PLUGIN, "dataset", uri, uri), name=dataset.name, columns=columns)


def _log_columns(fluent: Any, records: list[DatasetRecord]) -> None:
    run = fluent.active_run()
    for record in records if run else ():
        tags = datasets.column_tags(record)
        runs.log_tags(fluent.MlflowClient(), run.info.run_id, tags)
