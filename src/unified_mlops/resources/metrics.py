"""What runs are told: params are checked; metrics also numbered, and written together."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from itertools import groupby
from typing import Any
from weakref import WeakKeyDictionary, ref

from unified_mlops.buffer import Buffer
from unified_mlops.errors import ArgumentError, ArgumentTypeError
from unified_mlops.hookspecs import RunHooks
from unified_mlops.records import Metric, RunRecord
from unified_mlops.session import Session

_NAME = re.compile(r"[\w\-.: /]{1,250}")
"""What MLflow takes as the name of a metric or param."""


class MetricLog:
    """The metrics of one session that wait to be written, and how far each run has come."""

    def __init__(self, session: Session) -> None:
        living = ref(session)  # which is this log's weak key

        def write(points: list[tuple[RunRecord, Metric]]) -> None:
            for _, group in groupby(points, key=lambda point: point[0].ref):
                runs, metrics = zip(*group, strict=True)
                if told := living():
                    told.tell(RunHooks.mlops_log_metrics, run=runs[0], metrics=list(metrics))

        self._steps: dict[str, int] = {}
        self._buffer: Buffer[tuple[RunRecord, Metric]] = Buffer(write)
        self.flush = self._buffer.flush

    def add(self, run: RunRecord, metrics: Mapping[str, float], step: int | None) -> None:
        """Take one value of each metric; a step that is left out is one past the largest."""
        _check_names("metric", metrics, "log_metrics({'loss': 0.5})")
        for key, value in metrics.items():
            if isinstance(value, bool) or not isinstance(value, float | int):
                raise ArgumentTypeError(
                    f"metric {key!r} is {value!r}, a {type(value).__name__}",
                    hint="log a float or int; text is a param",
                )
        largest = self._steps.get(run.ref.id, 0)
        step = largest + 1 if step is None else step
        self._steps[run.ref.id] = max(step, largest)
        now = time.time()
        points = (Metric(key, float(value), step, now) for key, value in metrics.items())
        self._buffer.add(*((run, point) for point in points))


def check_params(params: Mapping[str, Any]) -> None:
    """See that params are numbers or texts by names that every tool takes.

    Raises:
        ArgumentError: a name that some tool does not take.
        ArgumentTypeError: a value of another type.
    """
    _check_names("param", params, "log_params({'depth': 4})")
    for key, value in params.items():
        if isinstance(value, bool) or not isinstance(value, float | int | str):
            raise ArgumentTypeError(
                f"param {key!r} is {value!r}, a {type(value).__name__}",
                hint=f"log a float, int or str: log_params({{{key!r}: {str(value)!r}}})",
            )


def _check_names(what: str, values: Any, example: str) -> None:
    """See that names are those that every tool takes, before anything waits to be written."""
    if not isinstance(values, Mapping):
        fact = f"{what}s are {values!r}, a {type(values).__name__}"
        raise ArgumentTypeError(fact, hint=example)
    for name in values:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ArgumentError(
                f"{what} name {name!r} cannot be kept",
                hint="use letters, digits and _ - . : / space",
            )


_logs: WeakKeyDictionary[Session, MetricLog] = WeakKeyDictionary()


def metric_log(session: Session) -> MetricLog:
    """The metric log of a session."""
    if session not in _logs:
        _logs[session] = MetricLog(session)
    return _logs[session]
