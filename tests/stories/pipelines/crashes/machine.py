"""Processes that run jobs and can be killed, and what they leave."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from unified_mlops.session import Session

MARK = "FAULTS_MARK"
"""The variable that every process of a test has, and those that it starts."""

SCRIPT = """
import json, signal, sys
import unified_mlops as umlops

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
workspace, job_id, template, given, how = sys.argv[1:]
umlops.init(workspace=workspace)
if how == "resume":
    job = umlops.PipelineJob.get(job_id)
else:
    job = umlops.PipelineJob("x", template, job_id=job_id, parameter_values=json.loads(given),
                             enable_caching=False)
print("ready", flush=True)
sys.stdin.readline()
getattr(job, how)()
"""


class Machine:
    """Starts processes that run jobs in one workspace.

    Args:
        workspace: the workspace.
        mark: what the processes have as `MARK`.
    """

    def __init__(self, workspace: Path, mark: str) -> None:
        self.workspace, self.mark = workspace, mark
        self._folder = workspace.with_name("compiled")
        self._folder.mkdir(exist_ok=True)

    def compiled(self, pipeline: Any) -> str:
        """The file of a pipeline."""
        from kfp.compiler import Compiler

        path = str(self._folder / f"{pipeline.name}.yaml")
        if not Path(path).exists():
            Compiler().compile(pipeline, path)
        return path

    def start(
        self, pipeline: Any, job_id: str, given: Mapping[str, Any], how: str = "run"
    ) -> subprocess.Popen[str]:
        """A process that begins or resumes a job once it gets a line."""
        told = [str(self.workspace), job_id, self.compiled(pipeline), json.dumps(given), how]
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *told],
            env={**os.environ, MARK: self.mark},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def go(*processes: subprocess.Popen[str]) -> None:
    """Have processes begin at the same time, once all are ready."""
    for process in processes:
        assert process.stdout and process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()


def kill(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> str:
    """Send a signal and wait; what it said."""
    process.send_signal(number)
    return process.communicate(timeout=20)[1] or ""


def marked(mark: str) -> list[psutil.Process]:
    """The living processes with this mark; of a forked one it is its fork server's."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def strays(mark: str) -> list[psutil.Process]:
    """What a job has left: marked processes but fork servers of this one, and zombies below it."""
    me = psutil.Process()
    zombies = [one for one in me.children(recursive=True) if one.status() == psutil.STATUS_ZOMBIE]
    own = {one.pid for one in me.children()}
    return [*zombies, *(one for one in marked(mark) if one.pid not in own | {me.pid})]


def pids(place: Path) -> list[int]:
    """The processes that a component named in a file, once it has."""
    until(lambda: place.exists() and place.read_text().endswith("\n"))
    return [int(word) for word in place.read_text().split()]


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def until(holds: Callable[[], Any], seconds: float = 30) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it does not come to be"
        time.sleep(0.01)


# --- what is left ---


def folder(session: Session, pipeline: str, job_id: str) -> Path:
    """Where a job keeps its files."""
    return session.config.workspace / "pipelines" / pipeline / job_id


def lines(path: Path) -> Counter[tuple[str, str]]:
    """How often each task began and ended."""
    words = (line.split() for line in path.read_text().splitlines()) if path.exists() else ()
    return Counter((word, task) for word, task in words)


def beginnings(path: Path) -> dict[str, int]:
    """How often each task began."""
    return {task: count for (word, task), count in lines(path).items() if word == "begin"}


def finished(place: Path, state: str = "SUCCEEDED") -> dict[str, str]:
    """The tasks that ended so, as they stand on disk; each file is whole."""
    files = {file.parent.name: file.read_text() for file in place.glob("*/task.json")}
    assert all(json.loads(text)["name"] == name for name, text in files.items())
    return {name: text for name, text in files.items() if json.loads(text)["state"] == state}
