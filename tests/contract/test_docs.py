"""Every Python block of the README and the docs runs, and every command in them exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from unified_mlops.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("plugins/*/README.md"),
    ]
    if page.name != "hooks.md"
]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.S | re.M)


def blocks(page: Path, language: str) -> list[str]:
    return [code for found, code in BLOCK.findall(page.read_text()) if found == language]


def commands(page: Path) -> list[list[str]]:
    """The `umlops` commands on a page that end by themselves."""
    lines = "".join(blocks(page, "console")).splitlines()
    found = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [words for words in found if words[:1] == ["umlops"] and words[1] not in ("up", "demo")]


def run(command: list[str], folder: Path) -> None:
    umlops = str(Path(sys.executable).with_name("umlops"))
    done = subprocess.run(
        [umlops, *command[1:]], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=str)
def test_the_python_blocks_of_a_page_run_one_after_another(page: Path, tmp_path: Path) -> None:
    program = tmp_path / "page.py"  # KFP reads the source of components from their file
    program.write_text("\n".join(blocks(page, "python")))
    env = {**os.environ, "PYTHONPATH": str(page.parent)}
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for command in commands(page):
        run(command, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_on_a_page_exists(page: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    for line in "".join(blocks(page, "console") + blocks(page, "bash")).splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words[:1] == ["make"]:
            assert set(words[1:]) <= set(targets), line
        if words[:1] == ["umlops"]:
            subcommand = [word for word in words[1:3] if word.isalpha() and word.islower()]
            result = CliRunner().invoke(cli, [*subcommand[:1], "--help"])
            assert result.exit_code == 0, line


def test_every_link_to_a_file_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"
