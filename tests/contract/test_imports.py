"""Importing the package, its command line's help and every plugin costs next to nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import unified_mlops

HEAVY = [
    *("mlflow", "feast", "evidently", "kfp", "ray", "tensorboard"),
    *("pandas", "numpy", "sqlalchemy", "pyarrow"),
]
PROGRAMS = {
    "import unified_mlops": "import unified_mlops",
    "umlops --help": (
        "from unified_mlops.cli import cli\n"
        "cli(['--help'], prog_name='umlops', standalone_mode=False)"
    ),
    "loading every plugin": (
        "from unified_mlops.session import Session\n"
        "session = Session()\nassert len(session.plugins) >= 6, session.broken"
    ),
    "every public name but pandas": "from unified_mlops import *",
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_it_imports_no_tool(what: str) -> None:
    report = (
        f"\nimport sys, json\nprint('\\n' + json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAMS[what] + report], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_the_public_names_are_all_of_them_sorted_and_there() -> None:
    assert sorted(unified_mlops.__all__) == unified_mlops.__all__
    assert {*unified_mlops._HOME, "__version__"} == set(unified_mlops.__all__)
    for name in unified_mlops.__all__:
        assert getattr(unified_mlops, name) is not None


def test_type_checkers_see_the_same_public_names() -> None:
    tree = ast.parse(Path(unified_mlops.__file__).read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    names = [
        a.name for node in guarded.body if isinstance(node, ast.ImportFrom) for a in node.names
    ]
    assert {*names, "__version__"} == set(unified_mlops.__all__)


def test_a_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        unified_mlops.nope  # noqa: B018
