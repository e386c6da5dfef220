"""The kit fails broken plugins, and for the right reason."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from unified_mlops.testing import Conformance, MemoryPlugin
from unified_mlops.testing.conformance import STANDARD
from unified_mlops.testing.conformance.kit import write_dataset
from unified_mlops.testing.memory.runs import MemoryRuns

pytest_plugins = ["pytester"]

HERE = Path(__file__).parent

Reports = dict[str, dict[str, pytest.TestReport]]
"""The last report of each test, by class and test."""

FAILS: dict[str, set[str]] = {
    "TestForgetsTypes": {
        "test_log_params__keeps_types_and_text",
        "test_log_params__merges_and_overwrites",
        "test_update_run__answers_with_params_and_metrics",
    },
    "TestAcceptsUsedNames": {
        "test_create_run__refuses_a_used_name",
        "test_create_run__writes_nothing_when_it_refuses",
    },
    "TestNaiveTimes": {
        "test_update_run__keeps_every_state",
        "test_update_run__reopens_a_run",
    },
    "TestHalfWrites": {"test_log_metrics__writes_all_or_none"},
    "TestKeepsOnlyTheLastStep": {"test_log_metrics__keeps_every_step"},
    "TestCallsEveryRunTheSame": {"test_export_run__tells_each_run_by_variables_of_its_own"},
    "TestHasADefault": {"test_plugin__fits_the_contract"},
    "TestNeverMovesAnAlias": {"test_update_model__moves_an_alias_and_leaves_the_others"},
    "TestLosesDuplicates": {
        "test_read_history__returns_every_row_once_in_order",
        "test_read_history__knows_the_past_and_never_the_future",
    },
    "TestKnowsTheFuture": {"test_read_history__knows_the_past_and_never_the_future"},
    "TestReordersOnline": {"test_read_online__keeps_the_order_of_entities_and_features"},
    "TestTakesAnySplit": {
        "test_deploy_model__refuses_a_split_that_is_none_and_changes_nothing",
        "test_undeploy_model__refuses_a_split_of_90_and_changes_nothing",
    },
    "TestKeepsNoTimes": {
        "test_deploy_model__says_since_when_the_model_is_on_the_endpoint",
        "test_undeploy_model__says_until_when_the_model_was_on_the_endpoint",
    },
    "TestIgnoresZero": {"test_run_monitor__honours_a_threshold_of_zero"},
    "TestSpellsUrnsItsOwnWay": {
        "test_run_monitor__scores_identical_data_with_zero",
        "test_run_monitor__alerts_for_the_columns_that_moved",
        "test_list_reports__returns_the_oldest_first",
    },
    "TestRaisesForATask": {
        "test_run_task__answers_for_a_component_that_fails",
        "test_run_task__takes_the_exit_code",
    },
    "TestLetsItRun": {"test_cancel_task__ends_a_task_and_what_it_started"},
    "TestAlwaysSaysItStopped": {"test_cancel_task__says_that_nothing_was_running"},
    "TestTakesAnything": {"test_check_task__says_what_cannot_be_run"},
    "TestStopsAtAFailedTrial": {"test_run_tuning__goes_on_after_a_trial_that_fails"},
    "TestForgetsTheVariables": {"test_run_tuning__adds_the_variables_while_the_objective_runs"},
    "TestAnswersForAnother": {
        "test_list_reports__returns_the_oldest_first",
        "test_list_reports__returns_scores_and_alerts_as_they_were",
    },
    "TestTellsItDifferently": {
        "test_collect_lineage__tells_the_same_twice",
        "test_collect_lineage__misses_nothing_after_its_cursor",
    },
    "TestIgnoresItsCursor": {"test_collect_lineage__does_not_start_over_from_its_cursor"},
    "TestTurnsEdgesRound": {
        "test_collect_lineage__tells_what_can_stand_in_the_graph",
        "test_log_input__keeps_the_exact_urn_of_each_run",
    },
    "TestDeviatesNoMore": {"test_log_params__keeps_types_and_text"},
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Import before pytester looks: it forgets what its own tests import, for good."""
    for module in ("kfp.compiler", "pyarrow.parquet", "sklearn.linear_model"):
        importlib.import_module(module)
    write_dataset(tmp_path_factory.mktemp("data"), "any", {"x": [1]})  # imports as it goes


@pytest.fixture
def reports(imported: None, pytester: pytest.Pytester) -> Reports:
    """What came of running the kit over the broken plugins, in this process."""
    for name in ("runs", "tools"):
        text = HERE.joinpath(f"broken_{name}.py").read_text("utf-8")
        pytester.makepyfile(**{f"test_broken_{name}": text})
    found: Reports = {}
    for report in pytester.inline_run("-p", "no:cacheprovider").getreports(
        "pytest_runtest_logreport"
    ):
        _, group, test = report.nodeid.split("::")
        tests = found.setdefault(group, {})
        if report.when == "call" or report.outcome != "passed":
            tests[test] = report
    return found


def test_the_kit_finds_what_is_broken_and_tolerates_what_is_declared(reports: Reports) -> None:
    failed = {
        group: {name for name, report in tests.items() if report.outcome == "failed"}
        for group, tests in reports.items()
    }
    assert {group: names for group, names in failed.items() if names} == FAILS

    deviates = reports["TestDeviates"]
    expected = {name: r for name, r in deviates.items() if hasattr(r, "wasxfail")}
    assert set(expected) == FAILS["TestForgetsTypes"]
    assert {(r.outcome, r.wasxfail) for r in expected.values()} == {("skipped", "params are text")}

    (stale,) = FAILS["TestDeviatesNoMore"]
    assert "XPASS(strict)" in str(reports["TestDeviatesNoMore"][stale].longrepr)

    assert set(reports["TestListens"]) == {
        "test_log_metrics__answers_with_nothing",
        "test_log_metrics__keeps_every_step",
        "test_plugin__creates_nothing_when_it_is_constructed",
        "test_plugin__fits_the_contract",
    }


def _subclass(**body: Any) -> type:
    return type("TestMine", (Conformance,), body)


def test_overriding_a_standard_test_is_an_error() -> None:
    name = "test_get_run__refuses_an_unknown_run"
    with pytest.raises(TypeError, match=f"TestMine overrides the standard test '{name}'"):
        _subclass(plugin_class=MemoryPlugin, **{name: lambda self: None})


def test_deviating_from_an_unknown_test_is_an_error() -> None:
    with pytest.raises(TypeError, match="deviates from 'test_none'"):
        _subclass(plugin_class=MemoryPlugin, deviations={"test_none": "why"})


def test_deviating_from_a_test_of_a_hook_that_is_not_overridden_is_an_error() -> None:
    name = "test_predict__keeps_to_the_split"
    with pytest.raises(TypeError, match=f"deviates from '{name}'"):
        _subclass(plugin_class=MemoryRuns, deviations={name: "why"})


def test_a_class_without_a_plugin_is_an_error() -> None:
    with pytest.raises(TypeError, match="TestMine needs plugin_class"):
        _subclass()


def test_a_standard_test_cannot_be_hidden_by_a_second_base() -> None:
    name = "test_get_run__refuses_an_unknown_run"
    hides = type("Hides", (), {name: None})
    hidden: Any = type("TestMine", (hides, Conformance), {"plugin_class": MemoryPlugin})
    assert getattr(hidden, name) is STANDARD[name]


def test_a_deviation_of_one_plugin_leaves_the_tests_of_others_alone() -> None:
    name = "test_get_run__refuses_an_unknown_run"
    mine: Any = _subclass(plugin_class=MemoryPlugin, deviations={name: "why"})
    yours: Any = _subclass(plugin_class=MemoryPlugin)
    assert [mark.name for mark in getattr(mine, name).pytestmark] == ["xfail"]
    assert not hasattr(getattr(yours, name), "pytestmark")
