from typing import Any

import pandas as pd
import pytest

import unified_mlops as umlops
from unified_mlops.errors import (
    AlreadyExistsError,
    ArgumentError,
    ArgumentTypeError,
    NotFoundError,
)
from unified_mlops.session import Session

pytestmark = pytest.mark.usefixtures("session")


def test_params_and_metrics_come_back_with_their_types() -> None:
    with umlops.start_run("r") as run:
        umlops.log_params({"rate": 0.5, "depth": 3, "family": "tree"})
        umlops.log_metrics({"auc": 0.75})
    assert run.get_params() == {"rate": 0.5, "depth": 3, "family": "tree"}
    assert run.get_metrics() == {"auc": 0.75}
    assert run.state == "COMPLETE"


@pytest.mark.parametrize("value", [None, True, [1], {"a": 1}])
def test_a_param_of_another_type_is_refused_and_nothing_is_written(value: Any) -> None:
    with umlops.start_run("r") as run:
        with pytest.raises(ArgumentTypeError, match="param 'bad' is .*\n.*log a float, int or str"):
            run.log_params({"good": 1, "bad": value})
        assert run.get_params() == {}


def test_a_metric_that_is_no_number_is_refused() -> None:
    with umlops.start_run("r") as run, pytest.raises(ArgumentTypeError, match="metric 'a' is 'x'"):
        run.log_metrics({"a": "x"})  # type: ignore[dict-item]


@pytest.mark.parametrize("name", ["", "a@b", "new\nline", "x" * 251])
def test_a_name_that_no_tool_keeps_is_refused_at_once(name: str) -> None:
    with umlops.start_run("r") as run:
        with pytest.raises(ArgumentError, match="metric name"):
            run.log_time_series_metrics({name: 1.0})
        with pytest.raises(ArgumentError, match="param name"):
            run.log_params({name: 1.0})


def test_a_used_run_name_is_refused_and_says_how_to_resume() -> None:
    umlops.start_run("r").end_run()
    with pytest.raises(AlreadyExistsError, match="\n.*resume=True"):
        umlops.start_run("r")


def test_resume_reopens_the_run() -> None:
    umlops.start_run("r").end_run()
    run = umlops.start_run("r", resume=True)
    assert run.state == "RUNNING"


def test_starting_a_second_run_ends_the_first_complete() -> None:
    first = umlops.start_run("first")
    umlops.start_run("second")
    assert first.state == "COMPLETE"
    assert umlops.active_run().name == "second"


def test_leaving_by_an_exception_ends_the_run_failed() -> None:
    with pytest.raises(ZeroDivisionError), umlops.start_run("r") as run:
        raise ZeroDivisionError
    assert run.state == "FAILED"
    with pytest.raises(ArgumentError, match="no run is active"):
        umlops.active_run()


def test_steps_continue_from_the_largest_and_an_explicit_zero_is_kept(session: Session) -> None:
    seen = []
    from unified_mlops.hookspecs import RunHooks

    original = session.tell

    def spy(hook: Any, /, **kw: Any) -> Any:
        if hook is RunHooks.mlops_log_metrics:
            seen.extend((metric.key, metric.step) for metric in kw["metrics"])
        return original(hook, **kw)

    session.tell = spy  # type: ignore[method-assign]
    with umlops.start_run("r") as run:
        run.log_time_series_metrics({"loss": 1.0}, step=0)
        run.log_time_series_metrics({"loss": 0.5}, step=10)
        umlops.log_time_series_metrics({"loss": 0.25})
    assert seen == [("loss", 0), ("loss", 10), ("loss", 11)]


def test_the_table_has_a_row_per_run_with_what_it_was_given_and_measured() -> None:
    for name, rate in [("a", 0.1), ("b", 0.2)]:
        with umlops.start_run(name) as run:
            run.log_params({"rate": rate})
            run.log_metrics({"auc": rate * 2})
    frame = umlops.get_experiment_df()
    assert list(frame["run_name"]) == ["a", "b"]
    assert list(frame["param.rate"]) == [0.1, 0.2]
    assert list(frame["metric.auc"]) == [0.2, 0.4]
    assert set(frame["state"]) == {"COMPLETE"}
    assert set(frame["run_type"]) == {"system.ExperimentRun"}


def test_a_run_without_an_experiment_says_how_to_name_one(tmp_path: Any) -> None:
    from unified_mlops.config import Config
    from unified_mlops.testing import MemoryPlugin

    nameless = Session(Config(workspace=tmp_path), plugins={"memory": MemoryPlugin})
    with pytest.raises(ArgumentError, match=r"umlops.init\(experiment="):
        umlops.start_run("r", session=nameless)


def test_an_unknown_run_is_not_found() -> None:
    umlops.start_run("r").end_run()
    with pytest.raises(NotFoundError):
        umlops.ExperimentRun("nope")


def test_a_dataset_that_a_run_read_is_its_input_in_the_graph(session: Session) -> None:
    pd.DataFrame({"x": [1]}).to_parquet("train.parquet")
    with umlops.start_run("r") as run:
        run.log_input(umlops.Dataset("train.parquet"))
    assert [node.kind for node in run.lineage().of_kind("dataset")] == ["dataset"]


def test_a_run_carries_its_lineage_page_and_a_tag_that_leads_to_it(session: Session) -> None:
    pd.DataFrame({"x": [1]}).to_parquet("train.parquet")
    with umlops.start_run("r") as run:
        run.log_input(umlops.Dataset("train.parquet"))
        run.log_lineage()
    tags = umlops.ExperimentRun("r").record.tags
    assert tags["unified_mlops.lineage"] == f"/lineage/{run.record.ref.id}"


def test_a_context_tells_what_belongs_to_it(session: Session) -> None:
    pd.DataFrame({"x": [1]}).to_parquet("train.parquet")
    with umlops.start_run("r") as run:
        run.log_input(umlops.Dataset("train.parquet"))
    found = run.query_lineage_subgraph()
    assert [node.kind for node in found.artifacts] == ["dataset"]
    assert [node.uri for node in found.executions] == [run.uri]
    assert [edge.kind for edge in found.events] == ["INPUT"]


def test_an_artifact_that_is_not_there_is_refused() -> None:
    with umlops.start_run("r") as run, pytest.raises(NotFoundError, match="no file 'nope.txt'"):
        run.log_artifact("nope.txt")


def test_a_run_tells_the_variables_by_which_other_processes_log_below_it() -> None:
    run = umlops.start_run("r")
    assert run.native_env() == {"MEMORY_RUN": run.uri}


def test_a_tool_that_has_no_such_variables_is_no_error(tmp_path: Any) -> None:
    from unified_mlops.config import Config
    from unified_mlops.hookspecs import RunHooks
    from unified_mlops.testing import MemoryPlugin

    class Silent(MemoryPlugin):
        mlops_export_run = RunHooks.mlops_export_run

    config = Config(workspace=tmp_path, experiment="e")
    session = Session(config, plugins={"memory": Silent})
    assert umlops.start_run("r", session=session).native_env() == {}
