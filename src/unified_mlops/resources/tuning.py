"""Hyper-parameter tuning: trials on a cluster, each a child of one run."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from unified_mlops.current import current_session
from unified_mlops.errors import ArgumentError
from unified_mlops.hookspecs import JobHooks
from unified_mlops.records import Scalar, Trial
from unified_mlops.resources.experiments import ExperimentRun
from unified_mlops.resources.progress import progress
from unified_mlops.session import Session

Objective = Callable[[Mapping[str, Scalar]], Mapping[str, float]]


class HyperparameterTuningJob:
    """Tries sets of parameters and keeps each trial as a child run.

    Args:
        display_name: its name; trials are runs `<display_name>-<number>`.
        objective: returns the metrics of one set of parameters; runs on the cluster.
        metric_spec: the metric that decides, and whether to `maximize` or `minimize` it.
        parameter_spec: the values of each parameter.
        max_trial_count: how many of their combinations to try, drawn by `seed`; all if left out.
        parallel_trial_count: how many at once.
        seed: the same seed draws the same combinations.
        session: the session; the current one if left out.
    """

    def __init__(
        self,
        display_name: str,
        *,
        objective: Objective,
        metric_spec: Mapping[str, Literal["maximize", "minimize"]],
        parameter_spec: Mapping[str, Sequence[Scalar]],
        max_trial_count: int | None = None,
        parallel_trial_count: int = 1,
        seed: int = 0,
        session: Session | None = None,
    ) -> None:
        if len(metric_spec) != 1:
            raise ArgumentError(
                f"{len(metric_spec)} metrics decide", hint='metric_spec={"loss": "minimize"}'
            )
        ((self.metric, goal),) = metric_spec.items()
        if goal not in ("maximize", "minimize"):
            raise ArgumentError(f"unknown goal {goal!r}", hint="maximize or minimize")
        self._sign = 1 if goal == "maximize" else -1
        self.display_name = display_name
        self.objective = objective
        self._grid = _combinations(parameter_spec, max_trial_count, seed)
        self._parallel = parallel_trial_count
        self.session = session or current_session()
        self.trials: tuple[Trial, ...] = ()

    def run(self, run: ExperimentRun, address: str | None = None) -> Trial:
        """Run the trials and wait for them.

        Args:
            run: the run that the trials are children of, and what a trial logs natively too.
            address: the cluster's address; the configured one if left out.

        Returns:
            The best trial.
        """
        with progress(self.display_name, len(self._grid)) as advance:

            def report(trial: Trial) -> None:
                self._log(run, trial)
                advance()

            job = self.session.ask(
                JobHooks.mlops_run_tuning,
                address=address,
                objective=self.objective,
                trials=self._grid,
                parallel=self._parallel,
                report=report,
                environment=run.native_env(),
            )
        self.trials = job.trials
        return self.best_trial

    @property
    def best_trial(self) -> Trial:
        """The finished trial with the best metric.

        Raises:
            ArgumentError: no trial has it.
        """
        finished = [trial for trial in self.trials if self.metric in trial.metrics]
        if not finished:
            errors = "; ".join(trial.error for trial in self.trials if trial.error)
            raise ArgumentError(
                f"no trial of {self.display_name!r} has metric {self.metric!r} ({errors})",
                hint=f"return {{{self.metric!r}: …}} from the objective",
            )
        return max(finished, key=lambda trial: self._sign * trial.metrics[self.metric])

    def _log(self, parent: ExperimentRun, trial: Trial) -> None:
        name = f"{parent.name}/{self.display_name}-{trial.number}"
        child = ExperimentRun.create(
            name, parent.record.experiment, parent=parent, session=self.session
        )
        child.log_params(trial.params)
        for point in trial.history:
            child.log_time_series_metrics(point)
        child.log_metrics(trial.metrics)
        child.update(trial.state, {"unified_mlops.error": trial.error} if trial.error else None)


def _combinations(
    spec: Mapping[str, Sequence[Scalar]], count: int | None, seed: int
) -> list[dict[str, Scalar]]:
    """All combinations of the values, or `count` of them drawn without repeats."""
    grid = [dict(zip(spec, values, strict=True)) for values in itertools.product(*spec.values())]
    if count is None or count >= len(grid):
        return grid
    return random.Random(seed).sample(grid, count)
