import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from unified_mlops.cli import cli
from unified_mlops.config import FILE

UMLOPS = str(Path(sys.executable).parent / "umlops")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([UMLOPS, *words], capture_output=True, text=True, check=False)


COMMANDS = ["init", "doctor", "demo", "up", "run", "pipeline", "schedule", "scheduler", "lineage"]


def test_help_lists_every_command_in_the_order_of_use() -> None:
    shown = CliRunner().invoke(cli, ["--help"]).output
    found = [line.split()[0] for line in shown.partition("Commands:")[2].splitlines() if line]
    assert found == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_says_what_it_does(command: str) -> None:
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 3


def test_init_writes_the_settings_once(tmp_path: Path) -> None:
    assert run("init").returncode == 0
    assert (tmp_path / FILE).exists()
    again = run("init")
    assert again.returncode == 2
    assert "is there already" in again.stderr


def test_an_error_is_a_sentence_and_a_hint_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("workspaces = 1\n")
    failed = run("doctor")
    assert failed.returncode == 2
    assert failed.stderr.startswith("umlops: unknown key 'workspaces'")
    assert "Hint: did you mean 'workspace'?" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_traceback_is_shown_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("workspaces = 1\n")
    failed = run("--traceback", "doctor")
    assert failed.returncode == 2
    assert "Traceback" in failed.stderr


def test_doctor_shows_every_plugin_and_its_store() -> None:
    found = run("doctor")
    assert found.returncode == 0, found.stdout + found.stderr
    for plugin in ("mlflow", "tensorboard", "feast", "evidently", "kfp", "ray"):
        assert plugin in found.stdout


def test_doctor_reports_a_broken_plugin_and_shows_the_rest(tmp_path: Path) -> None:
    package = tmp_path / "site"
    info = package / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[unified_mlops.plugins]\nbroken = broken_plugin:Plugin\n"
    )
    (package / "broken_plugin.py").write_text("raise RuntimeError('no licence')\n")
    import os

    env = {**os.environ, "PYTHONPATH": str(package), "COLUMNS": "200"}
    found = subprocess.run([UMLOPS, "doctor"], capture_output=True, text=True, env=env, check=False)
    assert found.returncode == 1
    assert "no licence" in found.stdout
    assert "tensorboard" in found.stdout


def test_shell_completion_is_offered() -> None:
    import os

    env = {**os.environ, "_UMLOPS_COMPLETE": "bash_source"}
    done = subprocess.run([UMLOPS], capture_output=True, text=True, env=env, check=False)
    assert "_umlops_completion" in done.stdout


def test_lineage_of_a_thing_nobody_knows_is_exit_code_two() -> None:
    failed = run("lineage", "up", "nothing-here")
    assert failed.returncode == 2
    assert "the graph does not know" in failed.stderr


def test_demo_does_not_write_into_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "flights").mkdir()
    refused = run("demo")
    assert refused.returncode == 2
    assert "'flights' is there already" in refused.stderr
    assert list((tmp_path / "flights").iterdir()) == []


def test_up_opens_a_page_on_loopback_and_closes_it_when_it_is_ended() -> None:
    server = subprocess.Popen([UMLOPS, "up", "tensorboard"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        title, address = server.stdout.readline().split()
        assert title == "TensorBoard"
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address) as page:
            assert page.status == 200
    finally:
        server.terminate()
        assert server.wait(timeout=30) == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address)


@pytest.mark.parametrize(
    ("plugin", "hint"),
    [("tensorbord", "did you mean 'tensorboard'?"), ("kfp", "umlops up evidently feast mlflow")],
)
def test_up_of_what_has_no_page_says_what_has(plugin: str, hint: str) -> None:
    refused = run("up", plugin)
    assert refused.returncode == 2
    assert hint in refused.stderr
