"""The hook below `umlops run`: patches come in after the import, and never break the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unified_mlops import instrument

PATCHES = """
def mark(module):
    module.SAID = module.SAID + " and patched"

def fail(module):
    raise RuntimeError("no such function here")
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a module to patch and a module of patches."""
    (tmp_path / "target.py").write_text("SAID = 'imported'\n")
    (tmp_path / "patches.py").write_text(PATCHES)
    return tmp_path


def python(
    place: Path, program: str, patches: dict[str, list[str]], *options: str
) -> subprocess.CompletedProcess[str]:
    environment = instrument.environment({**os.environ, "PYTHONPATH": str(place)})
    environment[instrument.VARIABLE] = json.dumps(patches)
    command = [sys.executable, *options, "-c", program]
    return subprocess.run(
        command, env=environment, cwd=place.parent, capture_output=True, text=True, check=False
    )


MARK = {"target": ["patches:mark"]}


def test_a_module_is_patched_after_it_was_imported(place: Path) -> None:
    done = python(place, "import target; print(target.SAID)", MARK)
    assert (done.stdout, done.stderr) == ("imported and patched\n", "")


def test_nothing_of_a_patch_is_imported_before_its_module(place: Path) -> None:
    done = python(place, "import sys; print('patches' in sys.modules)", MARK)
    assert done.stdout == "False\n"


def test_a_module_that_is_only_looked_for_is_patched_when_it_comes(place: Path) -> None:
    program = "import importlib.util as u; u.find_spec('target'); import target; print(target.SAID)"
    assert python(place, program, MARK).stdout == "imported and patched\n"


def test_a_module_that_is_not_there_is_missing_as_ever(place: Path) -> None:
    done = python(place, "import absent", {"absent": ["patches:mark"]})
    assert "ModuleNotFoundError: No module named 'absent'" in done.stderr


def test_processes_that_the_command_starts_are_instrumented_too(place: Path) -> None:
    program = (
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import target; print(target.SAID)'])"
    )
    assert python(place, program, MARK).stdout == "imported and patched\n"


@pytest.mark.parametrize("patch", ["patches:fail", "patches:absent", "no_such_plugin:mark"])
def test_a_patch_that_fails_is_one_warning_even_where_warnings_are_errors(
    place: Path, patch: str
) -> None:
    program = "import target; print(target.SAID)"
    done = python(place, program, {"target": [patch, "patches:mark"]}, "-W", "error")
    assert done.returncode == 0
    assert done.stdout == "imported and patched\n"
    assert done.stderr.count("UserWarning: umlops run") == 1
    assert f"{patch} could not instrument 'target'" in done.stderr


def test_the_sitecustomize_that_was_there_is_run_all_the_same(place: Path) -> None:
    (place / "sitecustomize.py").write_text("import sys\nsys.own = __file__\n")
    done = python(place, "import sys, sitecustomize, target; print(sys.own, target.SAID)", MARK)
    assert done.stdout == f"{place / 'sitecustomize.py'} imported and patched\n"


def test_the_hook_leaves_no_folder_on_the_path(place: Path) -> None:
    done = python(place, "import sys; print(sys.path)", MARK)
    assert instrument.HOOK not in done.stdout
    assert str(place) in done.stdout


def test_a_variable_that_cannot_be_read_is_one_warning() -> None:
    environment = instrument.environment({**os.environ, instrument.VARIABLE: ""})
    environment[instrument.VARIABLE] = "{"
    command = [sys.executable, "-c", "print('done')"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "done\n"
    assert done.stderr.count("UserWarning: umlops run: nothing is instrumented") == 1


def test_an_empty_search_path_does_not_become_the_working_directory() -> None:
    for empty in ({}, {"PYTHONPATH": ""}, {"PYTHONPATH": instrument.HOOK}):
        assert instrument.environment(empty)["PYTHONPATH"] == instrument.HOOK


def test_the_installed_plugins_offer_patches_for_feast_mlflow_and_ray() -> None:
    wanted = {"feast.feature_store", "mlflow.tracking.fluent", "ray.data.context"}
    assert wanted <= set(instrument.instruments())


def test_the_hook_costs_next_to_nothing(place: Path) -> None:
    program = (
        "import sys; print(sorted(set(sys.modules) & {'unified_mlops', 'importlib.metadata'}))"
    )
    assert python(place, program, MARK).stdout == "[]\n"
