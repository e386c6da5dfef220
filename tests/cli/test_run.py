"""`umlops run`: the command is itself, exit code, signals and all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from unified_mlops import instrument

RUN = [sys.executable, "-c", "from unified_mlops.cli.run import run; run(prog_name='umlops run')"]


def umlops_run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if "UNIFIED_MLOPS" not in key}
    return subprocess.run(
        [*RUN, "--", *command],
        cwd=folder,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_exit_code_output_and_arguments_are_the_commands_own(tmp_path: Path) -> None:
    program = "import sys; print(sys.argv[1:]); print('oh', file=sys.stderr); sys.exit(42)"
    done = umlops_run(tmp_path, sys.executable, "-c", program, "--format", "-x", "--", "--help")
    assert done.returncode == 42
    assert done.stdout == "['--format', '-x', '--', '--help']\n"
    assert done.stderr == "oh\n"


def test_a_signal_reaches_the_command_and_ends_it(tmp_path: Path) -> None:
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print('ready', flush=True)\ntime.sleep(60)"
    )
    command = [*RUN, "--", sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 7


def test_a_command_killed_by_a_signal_is_seen_so(tmp_path: Path) -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert umlops_run(tmp_path, sys.executable, "-c", program).returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [("no-such-command", 127, "there is no command"), ("/tmp", 126, "cannot be run")],
)
def test_a_command_that_cannot_be_run_is_said_with_the_shells_code(
    tmp_path: Path, command: str, code: int, said: str
) -> None:
    done = umlops_run(tmp_path, command)
    assert done.returncode == code
    assert said in done.stderr


SHOW = (
    "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if 'MLOPS' in k"
    " or k == 'PYTHONPATH'}))"
)


def test_the_command_gets_the_patches_and_the_workspace_of_this_project(tmp_path: Path) -> None:
    (tmp_path / "unified_mlops.toml").write_text('workspace = "ws"\n')
    inner = tmp_path / "inner"
    inner.mkdir()
    done = umlops_run(inner, sys.executable, "-c", SHOW, PYTHONPATH="/mine")
    found = json.loads(done.stdout)
    assert found["UNIFIED_MLOPS_WORKSPACE"] == str(tmp_path / "ws")
    assert found["PYTHONPATH"] == f"{instrument.HOOK}{os.pathsep}/mine"
    assert "feast.feature_store" in json.loads(found[instrument.VARIABLE])


def test_a_command_in_a_workers_session_keeps_that_session(tmp_path: Path) -> None:
    session = json.dumps({"config": {"workspace": "/w"}, "run": {}})
    done = umlops_run(tmp_path, sys.executable, "-c", SHOW, UNIFIED_MLOPS_SESSION=session)
    found = json.loads(done.stdout)
    assert found["UNIFIED_MLOPS_SESSION"] == session
    assert "UNIFIED_MLOPS_WORKSPACE" not in found


def test_one_inside_another_instruments_once(tmp_path: Path) -> None:
    done = umlops_run(tmp_path, *RUN, "--", sys.executable, "-c", SHOW)
    assert json.loads(done.stdout)["PYTHONPATH"].count(instrument.HOOK) == 1
