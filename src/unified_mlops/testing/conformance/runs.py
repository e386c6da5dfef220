"""Standard tests of experiment runs."""

# ruff: noqa: D102 - the name of a test says what it sees to

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

import pytest

from unified_mlops.errors import AlreadyExistsError, NotFoundError
from unified_mlops.hookspecs import Hooks
from unified_mlops.records import Metric, RunRecord, Scalar, State
from unified_mlops.testing.conformance.checks import check_record, names_of, needs, refused
from unified_mlops.testing.conformance.kit import Dataset, Kit

FINAL = {"COMPLETE", "FAILED", "CACHED", "CANCELLED"}


class RunConformance(Kit):
    """`RunHooks`: runs, their values, inputs and files."""

    # --- create_run ---

    def test_create_run__answers_with_a_running_run(self, hooks: Hooks, name: str) -> None:
        tags = {"team": "blau"}
        run = hooks.mlops_create_run(experiment=name, name="erster", parent=None, tags=tags)
        check_record(run, RunRecord, "run")
        assert (run.experiment, run.name, run.state) == (name, "erster", "RUNNING")
        assert tags.items() <= run.tags.items()
        assert run.start_time is not None
        assert run.end_time is None and run.parent is None

    def test_create_run__refuses_a_used_name(self, hooks: Hooks, run: RunRecord) -> None:
        with refused(AlreadyExistsError):
            hooks.mlops_create_run(
                experiment=run.experiment, name=run.name, parent=None, tags={"late": "yes"}
            )

    @needs("list_runs")
    def test_create_run__writes_nothing_when_it_refuses(self, hooks: Hooks, run: RunRecord) -> None:
        with refused(AlreadyExistsError):
            hooks.mlops_create_run(
                experiment=run.experiment, name=run.name, parent=None, tags={"late": "yes"}
            )
        (only,) = hooks.mlops_list_runs(experiment=run.experiment)
        assert only.ref == run.ref and "late" not in only.tags

    def test_create_run__takes_a_name_again_in_another_experiment(
        self, hooks: Hooks, run: RunRecord
    ) -> None:
        other = hooks.mlops_create_run(
            experiment=f"{run.experiment} zwei", name=run.name, parent=None, tags={}
        )
        assert other.name == run.name and other.ref != run.ref

    def test_create_run__gives_each_run_an_id_and_urn_of_its_own(
        self, hooks: Hooks, run: RunRecord
    ) -> None:
        other = hooks.mlops_create_run(
            experiment=run.experiment, name="zweiter", parent=None, tags={}
        )
        assert other.ref.plugin == run.ref.plugin
        assert other.ref.id != run.ref.id and other.ref.uri != run.ref.uri

    def test_create_run__knows_its_parent(self, hooks: Hooks, run: RunRecord) -> None:
        child = hooks.mlops_create_run(experiment=run.experiment, name="kind", parent=run, tags={})
        assert child.parent in {run.name, run.ref.id, run.ref.uri}

    # --- get_run ---

    @needs("create_run")
    def test_get_run__returns_what_was_created(self, hooks: Hooks, name: str) -> None:
        made = hooks.mlops_create_run(
            experiment=name, name="größter Lauf", parent=None, tags={"straße": "größe"}
        )
        found = hooks.mlops_get_run(experiment=name, name="größter Lauf")
        check_record(found, RunRecord, "run")
        assert (found.ref, found.name, found.experiment) == (made.ref, made.name, name)
        assert found.tags["straße"] == "größe"
        assert found.start_time == made.start_time

    @needs("create_run")
    def test_get_run__refuses_an_unknown_run(self, hooks: Hooks, run: RunRecord) -> None:
        with refused(NotFoundError):
            hooks.mlops_get_run(experiment=run.experiment, name="keiner")

    def test_get_run__refuses_an_unknown_experiment(self, hooks: Hooks, name: str) -> None:
        for _ in range(2):  # asking must not make one
            with refused(NotFoundError):
                hooks.mlops_get_run(experiment=name, name="keiner")

    # --- list_runs ---

    @needs("create_run")
    def test_list_runs__returns_the_oldest_first_and_children_too(
        self, hooks: Hooks, run: RunRecord
    ) -> None:
        names = ["z", "a", "m"]
        for name in names:
            hooks.mlops_create_run(experiment=run.experiment, name=name, parent=run, tags={})
        runs = hooks.mlops_list_runs(experiment=run.experiment)
        assert names_of(runs) == [run.name, *names]
        for found in runs:
            check_record(found, RunRecord, "run")

    def test_list_runs__refuses_an_unknown_experiment(self, hooks: Hooks, name: str) -> None:
        with refused(NotFoundError):
            hooks.mlops_list_runs(experiment=name)

    @needs("create_run", "get_run", "log_params", "log_metrics")
    def test_list_runs__shows_a_run_as_get_run_does(self, hooks: Hooks, run: RunRecord) -> None:
        hooks.mlops_log_params(run=run, params={"rate": 0.5, "depth": 3})
        hooks.mlops_log_metrics(run=run, metrics=[Metric("loss", 0.25, 1, 10.0)])
        (listed,) = hooks.mlops_list_runs(experiment=run.experiment)
        assert listed == hooks.mlops_get_run(experiment=run.experiment, name=run.name)

    # --- update_run ---

    @needs("create_run", "get_run")
    def test_update_run__keeps_every_state(self, hooks: Hooks, name: str) -> None:
        for state in get_args(State):
            run = hooks.mlops_create_run(experiment=name, name=state, parent=None, tags={})
            answer = hooks.mlops_update_run(run=run, state=state, tags={})
            found = hooks.mlops_get_run(experiment=name, name=state)
            for record in (answer, found):
                check_record(record, RunRecord, "run")
                assert (record.ref, record.state) == (run.ref, state)
                assert (record.end_time is not None) == (state in FINAL), state

    @needs("create_run", "get_run")
    def test_update_run__reopens_a_run(self, hooks: Hooks, run: RunRecord) -> None:
        ended = hooks.mlops_update_run(run=run, state="COMPLETE", tags={})
        assert run.start_time and ended.end_time and run.start_time <= ended.end_time
        hooks.mlops_update_run(run=ended, state="RUNNING", tags={})
        found = hooks.mlops_get_run(experiment=run.experiment, name=run.name)
        assert (found.ref, found.state) == (run.ref, "RUNNING")

    @needs("create_run", "get_run")
    def test_update_run__adds_and_replaces_tags(self, hooks: Hooks, name: str) -> None:
        run = hooks.mlops_create_run(
            experiment=name, name="r", parent=None, tags={"kept": "1", "new": "old"}
        )
        hooks.mlops_update_run(run=run, state="RUNNING", tags={"new": "neu", "more": "2"})
        found = hooks.mlops_get_run(experiment=name, name="r")
        assert {"kept": "1", "new": "neu", "more": "2"}.items() <= found.tags.items()

    @needs("create_run", "log_params", "log_metrics")
    def test_update_run__answers_with_params_and_metrics(
        self, hooks: Hooks, run: RunRecord
    ) -> None:
        hooks.mlops_log_params(run=run, params={"depth": 3})
        hooks.mlops_log_metrics(run=run, metrics=[Metric("loss", 0.5, 0, 1.0)])
        ended = hooks.mlops_update_run(run=run, state="COMPLETE", tags={})
        assert (ended.params, ended.metrics) == ({"depth": 3}, {"loss": 0.5})

    # --- log_params ---

    def test_log_params__answers_with_nothing(self, hooks: Hooks, run: RunRecord) -> None:
        answer: Any = hooks.mlops_log_params(run=run, params={"depth": 3})
        assert answer is None

    @needs("create_run", "get_run")
    def test_log_params__keeps_types_and_text(self, hooks: Hooks, run: RunRecord) -> None:
        params: dict[str, Scalar] = {
            "i": 1,
            "f": 1.0,
            "s": "1",
            "small": 1e-300,
            "größe": "groß\n",
            "empty": "",
        }
        hooks.mlops_log_params(run=run, params=params)
        found = hooks.mlops_get_run(experiment=run.experiment, name=run.name).params
        assert found == params
        assert {key: type(value) for key, value in found.items()} == {
            key: type(value) for key, value in params.items()
        }

    @needs("create_run", "get_run")
    def test_log_params__merges_and_overwrites(self, hooks: Hooks, run: RunRecord) -> None:
        hooks.mlops_log_params(run=run, params={"depth": 3, "rate": 0.5})
        hooks.mlops_log_params(run=run, params={"depth": "tief", "seed": 7})
        found = hooks.mlops_get_run(experiment=run.experiment, name=run.name)
        assert found.params == {"depth": "tief", "rate": 0.5, "seed": 7}

    @needs("create_run", "get_run")
    def test_log_params__leaves_other_runs_alone(self, hooks: Hooks, run: RunRecord) -> None:
        hooks.mlops_create_run(experiment=run.experiment, name="other", parent=None, tags={})
        hooks.mlops_log_params(run=run, params={"depth": 3})
        assert not hooks.mlops_get_run(experiment=run.experiment, name="other").params

    # --- log_metrics ---

    def test_log_metrics__answers_with_nothing(self, hooks: Hooks, run: RunRecord) -> None:
        metrics = [Metric("verlust/größe", 0.5, 0, 1e9), Metric("loss", 1, 3, 1e9)]
        answer: Any = hooks.mlops_log_metrics(run=run, metrics=metrics)
        assert answer is None

    def test_log_metrics__keeps_every_step(self, plugin: Any, hooks: Hooks, run: RunRecord) -> None:
        metrics = [Metric("loss", value / 4, value, 1e9 + value) for value in range(200)]
        hooks.mlops_log_metrics(run=run, metrics=metrics[:1])
        hooks.mlops_log_metrics(run=run, metrics=metrics[1:])
        found = self.read_metrics(plugin, run)
        assert [(m.key, m.value, m.step, m.time) for m in found] == [
            (m.key, m.value, m.step, m.time) for m in metrics
        ]

    @needs("create_run", "get_run")
    def test_log_metrics__shows_the_last_value_of_each_key(
        self, hooks: Hooks, run: RunRecord
    ) -> None:
        metrics = [
            Metric("loss", 0.9, 0, 1e9),
            Metric("acc", 0.1, 0, 1e9),
            Metric("loss", 0.3, 1, 1e9 + 1),
        ]
        hooks.mlops_log_metrics(run=run, metrics=metrics)
        found = hooks.mlops_get_run(experiment=run.experiment, name=run.name)
        assert found.metrics == {"loss": 0.3, "acc": 0.1}

    @needs("create_run", "get_run")
    def test_log_metrics__keeps_what_is_not_a_number(self, hooks: Hooks, run: RunRecord) -> None:
        hooks.mlops_log_metrics(run=run, metrics=[Metric("loss", float("nan"), 0, 1e9)])
        value = hooks.mlops_get_run(experiment=run.experiment, name=run.name).metrics["loss"]
        assert value != value  # noqa: PLR0124 - only NaN is not itself

    @needs("create_run", "get_run")
    def test_log_metrics__writes_all_or_none(self, hooks: Hooks, run: RunRecord) -> None:
        wrong: Any = "high"
        metrics = [Metric("loss", 0.5, 0, 1e9), Metric("acc", wrong, 0, 1e9)]
        with pytest.raises((TypeError, ValueError)):
            hooks.mlops_log_metrics(run=run, metrics=metrics)
        found = hooks.mlops_get_run(experiment=run.experiment, name=run.name)
        assert not found.metrics

    # --- log_input ---

    def test_log_input__answers_with_nothing(
        self, hooks: Hooks, run: RunRecord, dataset: Dataset
    ) -> None:
        data = dataset("größe 1", {"x": [1, 2]})
        answer: Any = hooks.mlops_log_input(run=run, dataset=data, context="training")
        assert answer is None

    @needs("create_run", "collect_lineage")
    def test_log_input__keeps_the_exact_urn_of_each_run(
        self, hooks: Hooks, run: RunRecord, dataset: Dataset
    ) -> None:
        other = hooks.mlops_create_run(
            experiment=run.experiment, name="other", parent=None, tags={}
        )
        mine, yours = (dataset(f"größe {n}", {"x": [1, 2]}) for n in (1, 2))
        hooks.mlops_log_input(run=run, dataset=mine, context="training")
        hooks.mlops_log_input(run=other, dataset=yours, context="training")
        found = {
            (edge.source, edge.target)
            for observation in hooks.mlops_collect_lineage(cursor=None).observations
            for edge in observation.edges
            if edge.kind == "INPUT" and edge.target in {run.ref.uri, other.ref.uri}
        }
        assert found == {(mine.ref.uri, run.ref.uri), (yours.ref.uri, other.ref.uri)}

    # --- export_run ---

    @needs("create_run")
    def test_export_run__tells_each_run_by_variables_of_its_own(
        self, hooks: Hooks, run: RunRecord
    ) -> None:
        other = hooks.mlops_create_run(
            experiment=run.experiment, name="zweiter", parent=None, tags={}
        )
        found = hooks.mlops_export_run(run=run)
        assert found and found == hooks.mlops_export_run(run=run)
        assert found != hooks.mlops_export_run(run=other)
        for key, value in found.items():
            assert key.isidentifier() and key.isupper(), f"no name of a variable: {key!r}"
            assert isinstance(value, str) and "\0" not in value, f"no value of one: {value!r}"

    @needs("create_run")
    def test_export_run__leaves_this_process_alone(self, hooks: Hooks, run: RunRecord) -> None:
        before = dict(os.environ)
        found = hooks.mlops_export_run(run=run)
        assert {key: os.environ.get(key) for key in found} == {
            key: before.get(key) for key in found
        }

    # --- log_artifact ---

    def test_log_artifact__keeps_a_copy_of_its_own(
        self, plugin: Any, hooks: Hooks, run: RunRecord, tmp_path: Path
    ) -> None:
        path = tmp_path / "größe.bin"
        for folder in ("", "plots/größe"):
            path.write_bytes(b"\x00\xff")
            hooks.mlops_log_artifact(run=run, path=path, folder=folder)
            path.write_bytes(b"later")
            assert self.read_artifact(plugin, run, f"{folder}/größe.bin".lstrip("/")) == b"\x00\xff"

    def test_log_artifact__leaves_the_file_alone(
        self, hooks: Hooks, run: RunRecord, tmp_path: Path
    ) -> None:
        path = tmp_path / "note.txt"
        path.write_text("one", "utf-8")
        answer: Any = hooks.mlops_log_artifact(run=run, path=path, folder="notes")
        assert answer is None and path.read_text("utf-8") == "one"
