"""Experiments: runs, what they were given, what they measured and what they made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from unified_mlops.current import current_session
from unified_mlops.errors import ArgumentError, NotFoundError
from unified_mlops.hookspecs import ModelHooks, RunHooks
from unified_mlops.records import RunRecord, Scalar, State
from unified_mlops.resources.base import Resource
from unified_mlops.resources.datasets import Dataset
from unified_mlops.resources.metrics import check_params, metric_log
from unified_mlops.resources.models import ExperimentModel
from unified_mlops.session import Session

LINEAGE_TAG = "unified_mlops.lineage"
"""The tag that leads to a run's lineage page."""


class ExperimentRun(Resource[RunRecord]):
    """A run of an experiment.

    Args:
        run_name: its name.
        experiment: its experiment; the session's if left out.
        session: where to look; the current session if left out.

    Raises:
        NotFoundError: there is no such run.
    """

    def __init__(
        self, run_name: str, experiment: str | None = None, *, session: Session | None = None
    ) -> None:
        self.session = session or current_session()
        self.record = self.session.ask(
            RunHooks.mlops_get_run,
            experiment=experiment_name(self.session, experiment),
            name=run_name,
        )

    @classmethod
    def create(
        cls,
        run_name: str,
        experiment: str | None = None,
        *,
        parent: ExperimentRun | None = None,
        tags: Mapping[str, str] | None = None,
        session: Session | None = None,
    ) -> ExperimentRun:
        """Create a run, in state RUNNING, without making it the active one.

        Raises:
            AlreadyExistsError: the experiment has a run of that name.
        """
        session = session or current_session()
        record = session.ask(
            RunHooks.mlops_create_run,
            experiment=experiment_name(session, experiment),
            name=run_name,
            parent=parent.record if parent else None,
            tags=tags or {},
        )
        return cls.of(record, session)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.record.name

    @property
    def state(self) -> State:
        """The run's state, read anew."""
        return self._read().state

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """Record parameters; logging one again overwrites it.

        Args:
            params: float, int or str by name.

        Raises:
            ArgumentTypeError: any other type; nothing was written.
        """
        check_params(params)
        self.session.tell(RunHooks.mlops_log_params, run=self.record, params=dict(params))

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Record summary metrics: one value each, as a whole run has it."""
        metric_log(self.session).add(self.record, metrics, 0)

    def log_time_series_metrics(
        self, metrics: Mapping[str, float], step: int | None = None
    ) -> None:
        """Record a point of time series.

        Points are written together, at the latest a second later, at the run's end and before
        anything is read.

        Args:
            metrics: values by name.
            step: where they stand on the time axis; one more than the largest if left out.
        """
        metric_log(self.session).add(self.record, metrics, step)

    def log_input(self, dataset: Dataset, context: str = "training") -> None:
        """Record that the run read a dataset.

        Args:
            dataset: what it read.
            context: what for, such as `training` or `evaluation`.
        """
        self.session.tell(
            RunHooks.mlops_log_input, run=self.record, dataset=dataset.record, context=context
        )

    def log_artifact(self, path: str | Path, folder: str = "") -> None:
        """Keep a copy of a file with the run.

        Raises:
            NotFoundError: there is no such file.
        """
        if not Path(path).is_file():
            raise NotFoundError(f"no file {str(path)!r}", hint="give the path of a file")
        self.session.tell(
            RunHooks.mlops_log_artifact, run=self.record, path=Path(path), folder=folder
        )

    def log_lineage(self) -> None:
        """Put the run's lineage on it: a page as `lineage.html`, and a tag that leads to it.

        The tag `unified_mlops.lineage` is the path of the page that `umlops up` serves beside
        MLflow's own, which is of the graph as it is then.
        """
        from unified_mlops.lineage import render

        graph = self.session.lineage
        ways = [("where it comes from", graph.upstream), ("what depends on it", graph.downstream)]
        sections = [(name, ask(self.record.ref)) for name, ask in ways]
        with TemporaryDirectory() as folder:
            page = Path(folder) / "lineage.html"
            page.write_text(render.html(sections, f"{self.name}: lineage"))
            self.log_artifact(page)
        self.update(self.state, {LINEAGE_TAG: f"/lineage/{self.record.ref.id}"})

    def log_model(self, model: Any, name: str = "model", *, example: Any) -> ExperimentModel:
        """Store a fitted model as the run's output.

        Args:
            model: the fitted model.
            name: what it is called on the run.
            example: a few rows of its input, as a DataFrame; its signature is inferred from it.
        """
        record = self.session.ask(
            ModelHooks.mlops_log_model, run=self.record, name=name, model=model, example=example
        )
        return ExperimentModel.of(record, self.session)

    def get_params(self) -> Mapping[str, Scalar]:
        """The parameters, with the types they were logged with."""
        return self._read().params

    def get_metrics(self) -> Mapping[str, float]:
        """The last value of each metric."""
        return self._read().metrics

    def native_env(self) -> dict[str, str]:
        """The variables by which the tool's own library, in another process, logs below the run.

        Empty where the run's tool has no such way.
        """
        hook = RunHooks.mlops_export_run
        if self.record.ref.plugin not in self.session.implementers(hook):
            return {}
        return dict(self.session.ask(hook, run=self.record))

    def flush(self) -> None:
        """Write what waits to be written."""
        metric_log(self.session).flush()

    def end_run(self, state: State = "COMPLETE") -> None:
        """Write what waits and set the final state."""
        self.update(state)
        active = self.session.run
        if active and active.ref == self.record.ref:
            self.session.run = None

    def update(self, state: State, tags: Mapping[str, str] | None = None) -> None:
        """Set the state and add tags, with everything logged before in place."""
        self.flush()
        self.record = self.session.ask(
            RunHooks.mlops_update_run, run=self.record, state=state, tags=tags or {}
        )

    def __enter__(self) -> ExperimentRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end_run("COMPLETE" if error is None else "FAILED")

    def _read(self) -> RunRecord:
        self.flush()
        return self.session.ask(
            RunHooks.mlops_get_run, experiment=self.record.experiment, name=self.name
        )


class Experiment:
    """A named set of runs.

    Args:
        name: its name.
        session: where it is; the current session if left out.
    """

    def __init__(self, name: str, *, session: Session | None = None) -> None:
        self.name = name
        self.session = session or current_session()

    def get_data_frame(self) -> Any:
        """Its runs as a pandas DataFrame; see `get_experiment_df`."""
        return get_experiment_df(self.name, session=self.session)

    def __repr__(self) -> str:
        return f"Experiment({self.name!r})"


def get_experiment_df(experiment: str | None = None, *, session: Session | None = None) -> Any:
    """One row per run: experiment_name, run_name, run_type, state, param.*, metric.*.

    Args:
        experiment: the experiment; the session's if left out.
        session: the session; the current one if left out.

    Returns:
        A pandas DataFrame, oldest run first.
    """
    import pandas as pd

    session = session or current_session()
    name = experiment_name(session, experiment)
    runs = session.ask(RunHooks.mlops_list_runs, experiment=name)
    return pd.DataFrame([_table_row(run) for run in runs])


def _table_row(run: RunRecord) -> dict[str, Any]:
    return {
        "experiment_name": run.experiment,
        "run_name": run.name,
        "run_type": "system.PipelineRun"
        if "kfp.pipeline_run_id" in run.tags
        else "system.ExperimentRun",
        "state": run.state,
        **{f"param.{key}": value for key, value in run.params.items()},
        **{f"metric.{key}": value for key, value in run.metrics.items()},
    }


def experiment_name(session: Session, given: str | None) -> str:
    """The experiment that is meant."""
    name = given or session.config.experiment or (session.run and session.run.experiment)
    if not name:
        raise ArgumentError(
            "no experiment is named", hint='umlops.init(experiment="my-experiment")'
        )
    return name
