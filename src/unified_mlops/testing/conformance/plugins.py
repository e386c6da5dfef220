"""Standard tests of collectors, and of what a plugin says of itself."""

# ruff: noqa: D102 - the name of a test says what it sees to

from __future__ import annotations

import inspect
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from unified_mlops.errors import UnifiedMLOpsError
from unified_mlops.hookspecs import SPECS, Hooks
from unified_mlops.records import UI, Check, Collection, Observation
from unified_mlops.testing.conformance.checks import check_observation
from unified_mlops.testing.conformance.kit import Caller, Kit
from unified_mlops.testing.conformance.work import Work, do_all


class PluginConformance(Kit):
    """`LineageHooks`, `PluginHooks`, and the plugin as a class."""

    @pytest.fixture
    def work(self, request: pytest.FixtureRequest) -> Work:
        """Makes the tool store something new, and answers with the refs of what it now holds."""
        return partial(do_all, request, self.plugin_class)

    # --- the class ---

    def test_plugin__fits_the_contract(self) -> None:
        hooks = [name for name in dir(self.plugin_class) if name.startswith("mlops_")]
        assert set(hooks) <= set(SPECS), "no such hook"
        for hook in hooks:
            taken = inspect.signature(getattr(self.plugin_class, hook)).parameters
            allowed = inspect.signature(SPECS[hook]).parameters
            assert set(taken) <= set(allowed), f"{hook} takes what its hook does not give"
            defaults = [item.name for item in taken.values() if item.default is not item.empty]
            assert not defaults, f"{hook} has default arguments"

    def test_plugin__creates_nothing_when_it_is_constructed(self, tmp_path: Path) -> None:
        self.make_plugin(tmp_path / "nowhere")
        assert not (tmp_path / "nowhere").exists()

    # --- collect_lineage ---

    def test_collect_lineage__finds_nothing_and_makes_nothing_where_there_is_no_store(
        self, tmp_path: Path
    ) -> None:
        hooks: Any = Caller(self.make_plugin(tmp_path / "nowhere"))
        found = hooks.mlops_collect_lineage(cursor=None)
        assert (tuple(found.observations), found.cursor) == ((), None)
        assert not (tmp_path / "nowhere").exists()

    def test_collect_lineage__tells_what_can_stand_in_the_graph(
        self, hooks: Hooks, work: Work
    ) -> None:
        work()
        found = hooks.mlops_collect_lineage(cursor=None)
        assert type(found) is Collection and found.observations
        assert found.cursor is None or isinstance(found.cursor, str)
        kinds = {node.uri: node.kind for seen in found.observations for node in seen.nodes}
        for observation in found.observations:
            assert type(observation) is Observation
            check_observation(observation, kinds)

    def test_collect_lineage__knows_things_by_the_urns_of_their_refs(
        self, hooks: Hooks, work: Work
    ) -> None:
        refs = work()
        found = hooks.mlops_collect_lineage(cursor=None).observations
        kinds = {node.uri: node.kind for seen in found for node in seen.nodes}
        assert {ref.uri: kinds.get(ref.uri) for ref in refs} == {ref.uri: ref.kind for ref in refs}

    def test_collect_lineage__tells_the_same_twice(self, hooks: Hooks, work: Work) -> None:
        work()
        first, again = _seen(hooks, None), _seen(hooks, None)
        assert first and first == again

    def test_collect_lineage__gives_each_native_record_one_key(
        self, hooks: Hooks, work: Work
    ) -> None:
        work()
        work()
        keys = [seen.key for seen in hooks.mlops_collect_lineage(cursor=None).observations]
        assert len(keys) == len(set(keys))

    def test_collect_lineage__misses_nothing_after_its_cursor(
        self, hooks: Hooks, work: Work
    ) -> None:
        work()
        found = hooks.mlops_collect_lineage(cursor=None)
        before = {seen.key: seen for seen in found.observations}
        work()
        assert before | _seen(hooks, found.cursor) == _seen(hooks, None)

    def test_collect_lineage__does_not_start_over_from_its_cursor(
        self, hooks: Hooks, work: Work
    ) -> None:
        for _ in range(3):
            work()
        found = hooks.mlops_collect_lineage(cursor=None)
        assert len(_seen(hooks, found.cursor)) < len(found.observations)

    # --- check_plugin ---

    def test_check_plugin__says_what_it_is_and_that_all_is_well(self, hooks: Hooks) -> None:
        check = hooks.mlops_check_plugin()
        assert type(check) is Check
        assert check.plugin and check.tool and check.version and check.location
        assert check.problem == ""

    def test_check_plugin__makes_nothing(self, tmp_path: Path) -> None:
        hooks: Any = Caller(self.make_plugin(tmp_path / "nowhere"))
        hooks.mlops_check_plugin()
        assert not (tmp_path / "nowhere").exists()

    def test_check_plugin__gives_the_name_that_its_refs_have(
        self, hooks: Hooks, work: Work
    ) -> None:
        name = hooks.mlops_check_plugin().plugin
        assert {ref.plugin for ref in work()} <= {name}

    # --- describe_ui ---

    def test_describe_ui__gives_a_command_that_is_there(self, hooks: Hooks) -> None:
        ui = hooks.mlops_describe_ui()
        assert type(ui) is UI
        assert ui.plugin and ui.title and 0 < ui.port < 65536
        assert shutil.which(ui.command[0]), f"no program {ui.command[0]!r}"

    def test_describe_ui__takes_a_port_and_stays_on_this_machine(self, hooks: Hooks) -> None:
        command = " ".join(hooks.mlops_describe_ui().command)
        assert "{port}" in command
        assert "0.0.0.0" not in command and "::" not in command.split()

    # --- get_native ---

    def test_get_native__hands_out_an_object_of_the_tool(self, hooks: Hooks, work: Work) -> None:
        refs, found = work(), []
        for ref in refs:
            try:
                found.append(hooks.mlops_get_native(ref=ref))
            except UnifiedMLOpsError as error:  # some things have no object of their own
                assert error.hint
        assert any(item is not None for item in found) or not refs


def _seen(hooks: Hooks, cursor: str | None) -> dict[str, Observation]:
    return {seen.key: seen for seen in hooks.mlops_collect_lineage(cursor=cursor).observations}
