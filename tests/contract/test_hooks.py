"""The contract holds: each hook is whole, documented, tested, implemented and used."""

from __future__ import annotations

import inspect
import runpy
import typing
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from unified_mlops import hookspecs
from unified_mlops.hookspecs import NOUN_OF, NOUNS, SPECS
from unified_mlops.lineage.declare import RESULT, declaration_of
from unified_mlops.loader import GROUP, check_contract
from unified_mlops.testing import Conformance, MemoryPlugin

ROOT = Path(__file__).parents[2]
SOURCES = "\n".join(
    path.read_text()
    for path in (ROOT / "src/unified_mlops").rglob("*.py")
    if "testing" not in path.parts and path.name != "hookspecs.py"
)
HOOKS = pytest.mark.parametrize("name", SPECS)
PLUGINS: dict[str, Any] = {point.name: point.load() for point in entry_points(group=GROUP)}


@HOOKS
def test_a_hook_has_a_docstring_that_names_each_parameter(name: str) -> None:
    doc = inspect.getdoc(SPECS[name]) or ""
    summary = doc.partition("\n")[0]
    assert summary.endswith(".")
    assert summary[0].isupper()
    for parameter in list(inspect.signature(SPECS[name]).parameters)[1:]:
        assert f":param {parameter}: " in doc


@HOOKS
def test_a_hook_is_annotated_throughout(name: str) -> None:
    hints = typing.get_type_hints(SPECS[name])
    assert set(hints) == {*list(inspect.signature(SPECS[name]).parameters)[1:], "return"}


@HOOKS
def test_a_hook_has_no_default_argument(name: str) -> None:
    parameters = inspect.signature(SPECS[name]).parameters.values()
    assert all(parameter.default is parameter.empty for parameter in parameters)


@HOOKS
def test_a_hook_declares_its_lineage_or_says_why_it_has_none(name: str) -> None:
    declaration = declaration_of(SPECS[name])
    assert declaration is not None
    moved = {*declaration.reads, *declaration.writes}
    assert bool(moved) != bool(declaration.excuse)
    assert moved <= {*inspect.signature(SPECS[name]).parameters, RESULT}


@HOOKS
def test_a_hook_belongs_to_one_noun_and_is_marked(name: str) -> None:
    owners = [noun for noun, hooks in NOUNS.items() if name in vars(hooks)]
    assert owners == [NOUN_OF[name]]
    assert hasattr(SPECS[name], f"{hookspecs.PROJECT}_spec")


@HOOKS
def test_a_hook_has_a_conformance_test(name: str) -> None:
    prefix = f"test_{name.removeprefix('mlops_')}__"
    assert any(test.startswith(prefix) for test in dir(Conformance))


@HOOKS
def test_a_hook_is_implemented_by_the_memory_plugin_and_by_a_real_one(name: str) -> None:
    assert getattr(MemoryPlugin, name) is not SPECS[name]
    assert any(getattr(plugin, name, SPECS[name]) is not SPECS[name] for plugin in PLUGINS.values())


@HOOKS
def test_a_hook_has_a_caller(name: str) -> None:
    assert f"Hooks.{name}" in SOURCES


def test_every_word_of_the_hooks_page_is_what_the_contract_says() -> None:
    page = runpy.run_path(str(ROOT / "docs/generate.py"))
    assert (ROOT / "docs/hooks.md").read_text() == page["text"](), "type: make docs"


@pytest.mark.parametrize("name", PLUGINS)
def test_an_installed_plugin_fits_the_contract(name: str, tmp_path: Path) -> None:
    check_contract(name, PLUGINS[name](workspace=tmp_path / "w"))
    assert not (tmp_path / "w").exists(), "a constructor creates nothing"
