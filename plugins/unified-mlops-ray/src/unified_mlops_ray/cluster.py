"""Clusters of this machine: a head node in a child process, and nothing left of it afterwards."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from unified_mlops.errors import ArgumentError, BackendError, NotFoundError
from unified_mlops.records import ClusterRecord, Ref
from unified_mlops_ray import connect

PATIENCE = 10.0


@dataclass(frozen=True)
class _Head:
    process: subprocess.Popen[str]
    folder: Path
    owner: int


_heads: dict[str, _Head] = {}


def start(cpus: int) -> ClusterRecord:
    """Start a cluster that listens on loopback only and ends with this process.

    Args:
        cpus: how many CPUs it offers.

    Raises:
        ArgumentError: fewer than one.
        BackendError: Ray did not start.
    """
    if type(cpus) is not int or cpus < 1:
        raise ArgumentError(f"a cluster of {cpus!r} CPUs cannot be", hint="give at least 1")
    head = _launch(cpus)
    try:
        answer = head.process.stdout.readline().strip() if head.process.stdout else ""
        if not answer:
            raise BackendError(f"Ray did not start: {_complaint(head)}", hint="umlops doctor")
    except BaseException:
        _stop(head)
        raise
    place = connect.location(answer)
    if not _heads:
        atexit.register(_stop_all)
    _heads[place] = head
    return ClusterRecord(
        ref=Ref("ray", "cluster", place, f"ray://{place}"), address=connect.native(place)
    )


def stop(cluster: ClusterRecord) -> ClusterRecord:
    """Stop a cluster of this process, and no other.

    Raises:
        NotFoundError: this process has started none of that name, or has stopped it.
    """
    head = _heads.pop(cluster.ref.id, None)
    if head is None or head.owner != os.getpid():
        raise NotFoundError(
            f"this process runs no cluster {cluster.ref.id!r}",
            hint="stop it in the process that started it",
        )
    connect.leave(cluster.ref.id)
    _stop(head)
    return cluster


def _launch(cpus: int) -> _Head:
    root = "/tmp" if Path("/tmp").is_dir() else None  # sockets below it: 107 characters at most
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir=root))
    environment = {
        "RAY_AUTH_MODE": "disabled",
        **{key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": str(folder),  # or it becomes the default of every `ray.init()` here
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # or 127.0.0.1 becomes an outer address
    }
    with (folder / "head.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.head", str(cpus), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            env=environment,
            text=True,
            start_new_session=True,
        )
    return _Head(process, folder, os.getpid())


def _complaint(head: _Head) -> str:
    lines = (head.folder / "head.log").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _stop(head: _Head) -> None:
    """Kill the head node and every process of its session, and wait until they are gone."""
    deadline = time.monotonic() + PATIENCE
    family = _descendants(head.process.pid)
    while family and time.monotonic() < deadline:
        for process in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        head.process.poll()  # reaps it
        time.sleep(0.02)
        family = {pid for pid in family if _alive(pid)} | _session(head.process.pid)
    for pipe in (head.process.stdin, head.process.stdout):
        if pipe:
            pipe.close()
    head.process.wait()
    shutil.rmtree(head.folder, ignore_errors=True)


def _descendants(pid: int) -> set[int]:
    import psutil

    try:
        head = psutil.Process(pid)
        return {pid, *(child.pid for child in head.children(recursive=True))}
    except psutil.NoSuchProcess:
        return _session(pid)


def _session(leader: int) -> set[int]:
    import psutil

    found = set()
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == leader and _alive(pid):
                found.add(pid)
    return found


def _alive(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _stop_all() -> None:
    for place, head in list(_heads.items()):
        del _heads[place]
        if head.owner == os.getpid():  # and not a fork of the owner
            _stop(head)
