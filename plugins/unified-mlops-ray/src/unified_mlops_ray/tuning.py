"""Tuning: an objective called on a cluster, once for each set of parameters."""

from __future__ import annotations

import inspect
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from unified_mlops.errors import ArgumentError
from unified_mlops.pipelines.component import sentence
from unified_mlops.records import Ref, Scalar, State, Trial, TuningRecord
from unified_mlops_ray import capture
from unified_mlops_ray.connect import attached

Metrics = dict[str, float]
Outcome = tuple[Metrics, list[Metrics], str]
"""What comes back from a worker: final metrics, those of each report, an error."""


def tune(
    address: str | None,
    objective: Callable[[Mapping[str, Scalar]], Mapping[str, float]],
    trials: Sequence[Mapping[str, Scalar]],
    parallel: int,
    report: Callable[[Trial], None],
    environment: Mapping[str, str],
) -> TuningRecord:
    """Call the objective for each set of parameters, `parallel` at a time.

    Args:
        address: the cluster.
        objective: returns metrics; a generator reports each metrics that it yields.
        trials: the sets of parameters.
        parallel: how many run at once.
        report: called here with each trial as it ends.
        environment: variables that a worker has while it runs a trial.

    Raises:
        ArgumentError: the objective cannot be sent, or nothing may run at once.
    """
    if parallel < 1:
        raise ArgumentError(f"{parallel!r} trials at once never end", hint="give at least 1")
    with attached(address) as place:
        done = _run_all(_pickled(objective), trials, parallel, report, environment)
    key = uuid4().hex
    return TuningRecord(
        ref=Ref("ray", "job", key, f"ray://{place}/jobs/{key}"),
        trials=tuple(done[number] for number in range(len(trials))),
    )


def _run_all(
    objective: bytes,
    trials: Sequence[Mapping[str, Scalar]],
    parallel: int,
    report: Callable[[Trial], None],
    environment: Mapping[str, str],
) -> dict[int, Trial]:
    import ray

    attempt = ray.remote(num_cpus=1, max_retries=0)(run_trial)
    shared, path = ray.put(objective), search_path()
    waiting, running, done = deque(enumerate(trials)), dict[Any, int](), dict[int, Trial]()
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                number, params = waiting.popleft()
                running[attempt.remote(path, dict(environment), shared, dict(params))] = number
            (ended,), _ = ray.wait(list(running))
            number = running.pop(ended)
            done[number] = _settle(number, trials[number], ended)
            report(done[number])
    finally:
        for left in running:
            ray.cancel(left, force=True)
    return done


def _settle(number: int, params: Mapping[str, Scalar], ended: Any) -> Trial:
    import ray

    try:
        metrics, history, error = ray.get(ended)
    except ray.exceptions.RayError as lost:  # the worker died
        metrics, history, error = {}, [], sentence(lost)
    state: State = "FAILED" if error else "COMPLETE"
    return Trial(number, dict(params), metrics, state, tuple(history), error)


def _pickled(objective: Callable[..., Any]) -> bytes:
    from ray import cloudpickle

    try:
        return bytes(cloudpickle.dumps(objective))
    except Exception as error:
        raise ArgumentError(
            f"the objective cannot be sent to a cluster: {sentence(error)}",
            hint="open files, locks and sessions inside it",
        ) from error


def search_path() -> list[str]:
    """Where this process looks for modules; workers look there too, after their own places."""
    return [str(Path(entry).absolute()) for entry in sys.path]


def run_trial(
    path: Sequence[str],
    environment: Mapping[str, str],
    objective: bytes,
    params: dict[str, Scalar],
) -> Outcome:
    """Call the objective; runs in a worker.

    Args:
        path: where else to look for modules.
        environment: variables to add meanwhile; the next trial in this worker may have others.
        objective: the pickled objective.
        params: what to call it with.
    """
    from ray import cloudpickle

    sys.path.extend(entry for entry in path if entry not in sys.path)
    history: list[Metrics] = []
    try:
        with _added(capture.noting(environment)):
            answer = cloudpickle.loads(objective)(params)
            if inspect.isgenerator(answer):
                history.extend(_numbers(point) for point in answer)
                return dict(history[-1]) if history else {}, history, ""
            return _numbers(answer), history, ""
    except Exception as error:  # noqa: BLE001  an objective may fail in any way: that is a result
        return {}, history, sentence(error)


@contextmanager
def _added(environment: Mapping[str, str]) -> Iterator[None]:
    """Variables that this process has for a while.

    Not Ray's `runtime_env`, which the cluster shows to whoever asks, with the passwords in it.
    """
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value


def _numbers(metrics: Any) -> Metrics:
    if not isinstance(metrics, Mapping):
        raise TypeError(f"the objective gave {metrics!r}, which is no mapping of metrics")
    return {str(key): float(value) for key, value in metrics.items()}
