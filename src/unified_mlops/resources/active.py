"""The active run: started here, and spoken to without naming it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unified_mlops.current import current_session
from unified_mlops.errors import AlreadyExistsError, ArgumentError
from unified_mlops.records import Scalar, State
from unified_mlops.resources.datasets import Dataset
from unified_mlops.resources.experiments import ExperimentRun
from unified_mlops.resources.models import ExperimentModel
from unified_mlops.session import Session


def start_run(
    run: str,
    *,
    experiment: str | None = None,
    resume: bool = False,
    tags: Mapping[str, str] | None = None,
    session: Session | None = None,
) -> ExperimentRun:
    """Start a run and make it the active one; use it in a `with`.

    A run that is active already ends COMPLETE.

    Args:
        run: its name.
        experiment: its experiment; the session's if left out.
        resume: reopen a run of that name instead of creating one.
        tags: tags to stand on it.
        session: the session; the current one if left out.

    Raises:
        AlreadyExistsError: the name is taken and `resume` is not given.
    """
    session = session or current_session()
    if resume:
        started = ExperimentRun(run, experiment, session=session)
    else:
        started = _create_named(session, run, experiment, tags)
    if session.run is not None:  # it goes on where the new one cannot start
        ExperimentRun.of(session.run, session).end_run()
    if resume:
        started.update("RUNNING", tags)
    session.run = started.record
    return started


def _create_named(
    session: Session, run: str, experiment: str | None, tags: Mapping[str, str] | None
) -> ExperimentRun:
    try:
        return ExperimentRun.create(run, experiment, tags=tags, session=session)
    except AlreadyExistsError as error:
        hint = f"umlops.start_run({run!r}, resume=True), or another name"
        raise AlreadyExistsError(error.fact, hint=hint) from error


def active_run(session: Session | None = None) -> ExperimentRun:
    """The run that is active in this session.

    Raises:
        ArgumentError: there is none.
    """
    session = session or current_session()
    if session.run is None:
        raise ArgumentError("no run is active", hint='with umlops.start_run("my-run"): …')
    return ExperimentRun.of(session.run, session)


def end_run(state: State = "COMPLETE") -> None:
    """End the active run; see `ExperimentRun.end_run`."""
    active_run().end_run(state)


def log_params(params: Mapping[str, Scalar]) -> None:
    """Record parameters of the active run; see `ExperimentRun.log_params`."""
    active_run().log_params(params)


def log_metrics(metrics: Mapping[str, float]) -> None:
    """Record summary metrics of the active run; see `ExperimentRun.log_metrics`."""
    active_run().log_metrics(metrics)


def log_time_series_metrics(metrics: Mapping[str, float], step: int | None = None) -> None:
    """Record a point of time series; see `ExperimentRun.log_time_series_metrics`."""
    active_run().log_time_series_metrics(metrics, step)


def log_input(dataset: Dataset, context: str = "training") -> None:
    """Record what the active run read; see `ExperimentRun.log_input`."""
    active_run().log_input(dataset, context)


def log_artifact(path: str | Path, folder: str = "") -> None:
    """Keep a copy of a file with the active run; see `ExperimentRun.log_artifact`."""
    active_run().log_artifact(path, folder)


def log_model(model: Any, name: str = "model", *, example: Any) -> ExperimentModel:
    """Store a fitted model as the active run's output; see `ExperimentRun.log_model`."""
    return active_run().log_model(model, name, example=example)
