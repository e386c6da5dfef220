"""The subprocess that runs tasks: it imports once, then forks a fresh process per task.

    python -m unified_mlops_kfp.forkserver <control fd> <JSON: sys.path> <JSON: modules to preload>

Over the control socket come connections, one per task, as file descriptors. A connection carries
a request, one line of JSON, and brings back two lines: the id of the process that runs it, and its
exit status. Closing it early ends that process and all it started: first asked by SIGTERM, then
killed. Closing the control socket kills everything. The server has one thread, because forking a
process with several is not safe. While tasks follow each other closely it forks one ahead.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import logging
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from unified_mlops.pipelines.component import execute, exit_status

_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL."""
_SWEEP = 1.0
"""Seconds in which what a task left behind has to be gone, once killed."""
_IDLE = 0.1
"""Seconds for which a process that was forked ahead waits for its task."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LIBC = ctypes.CDLL(None)


class Server:
    """Waits for requests, and for the processes that run them.

    Args:
        control: where connections come from.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._running: dict[int, socket.socket] = {}
        self._spare: tuple[int, socket.socket] | None = None
        self._asked: dict[int, float] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what outlives its task becomes ours

    def serve(self) -> None:
        """Serve until the control socket is closed, and leave no process behind."""
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._control.sendall(b"\0")  # ready
        while self._turn():
            pass
        self._dismiss()
        for pid in list(self._running):
            _signal(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            del self._running[pid]
        self._sweep()

    def _turn(self) -> bool:
        """Deal with what has happened; False where the control socket was closed."""
        first = min(self._asked.values(), default=None)
        wait = None if first is None else max(0.0, first - time.monotonic())
        if self._spare:
            wait = _IDLE if wait is None else min(_IDLE, wait)
        happened = self._selector.select(wait)
        if not happened:
            self._dismiss()
        for key, _ in happened:
            if key.fileobj is self._control:
                self._prepare()  # before there is a connection, which is not the new process's
                _, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
                if not descriptors:
                    return False
                self._start(socket.socket(fileno=descriptors[0]))
            elif key.fileobj is self._woken:
                self._woken.recv(4096)
                self._reap()
            elif key.data in self._running:  # and has not ended at the same moment
                self._selector.unregister(key.fileobj)
                self._asked[key.data] = time.monotonic() + _GRACE
                _signal(key.data, signal.SIGTERM)
        for pid in [pid for pid, last in self._asked.items() if last <= time.monotonic()]:
            del self._asked[pid]
            _signal(pid, signal.SIGKILL)
        return True

    def _start(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            request = lines.readline()
        if not request.endswith(b"\n") or not self._spare:  # given up, or no room for one more
            return connection.close()
        (pid, line), self._spare = self._spare, None
        try:
            with line:
                line.sendall(request)
        except OSError:  # somebody killed it just now
            return connection.close()
        self._running[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ, pid)
        with contextlib.suppress(OSError):
            connection.sendall(b"%d\n" % pid)
        self._prepare()
        return None

    def _prepare(self) -> None:
        """See that a process waits for the next request, if there is room for it."""
        if self._spare and os.waitpid(self._spare[0], os.WNOHANG)[0]:  # somebody killed it
            self._spare[1].close()
            self._spare = None
        if not self._spare:
            self._spare = self._fork()

    def _fork(self) -> tuple[int, socket.socket] | None:
        """A process that waits for a request, and where to write it; None without room."""
        server, (ours, theirs) = os.getpid(), socket.socketpair()
        with theirs:
            try:
                pid = os.fork()
            except OSError:
                ours.close()
                return None
            if pid == 0:
                ours.close()
                self._become_task(server)
                _wait(theirs)
        _own_group(pid)
        return pid, ours

    def _dismiss(self) -> None:
        """End the process that waits for a request."""
        if self._spare:
            (pid, line), self._spare = self._spare, None
            line.close()
            os.waitpid(pid, 0)

    def _reap(self) -> None:
        ended: list[tuple[socket.socket, int]] = []
        for pid in list(self._running):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                _signal(pid, signal.SIGKILL)  # what the task started and left running
                self._asked.pop(pid, None)
                ended.append((self._running.pop(pid), status))
        self._sweep()
        for connection, status in ended:
            with contextlib.suppress(KeyError):
                self._selector.unregister(connection)
            with contextlib.suppress(OSError), connection:
                connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))

    def _sweep(self) -> None:
        """Kill what came to us when its task ended: a task keeps its own orphans while it lives."""
        last = time.monotonic() + _SWEEP
        own = {*self._running, self._spare[0]} if self._spare else {*self._running}
        while (strays := _children() - own) and time.monotonic() < last:
            for pid in strays:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.001)

    def _become_task(self, server: int) -> None:
        """In the new process: let go of everything that is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for end in (self._control, self._wake, self._woken, *self._running.values()):
            end.close()
        _own_group(0)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the server can be killed without a word
        if os.getppid() != server:
            os._exit(1)


def _wait(line: socket.socket) -> NoReturn:
    """In a process that waits for a request: run it, or end where there will be none."""
    with line, line.makefile("rb") as lines:
        request = lines.readline()
    if not request.endswith(b"\n"):
        os._exit(0)
    run(json.loads(request))


def run(request: dict[str, Any]) -> NoReturn:
    """Run a component, or a command, as the request says, and end the process."""
    status = 1
    try:
        _settle_in(request)
        if command := request.get("command"):
            _become(command)
        source, function, given = (request[k] for k in ("source", "function", "executor_input"))
        execute(source, function, given, Path(request["folder"]))
        status = 0
    except SystemExit as leave:
        status = exit_status(leave)
    except BaseException:  # noqa: BLE001  the log shows it; the status tells the server
        sys.stdout.flush()
        traceback.print_exc()
    finally:
        _end(status)


def _settle_in(request: dict[str, Any]) -> None:
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    wanted = request["environment"]
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update({k: v for k, v in wanted.items() if os.environ.get(k) != v})
    os.chdir(request["folder"])
    if "numpy" in sys.modules:  # or every task would draw the same numbers
        sys.modules["numpy"].random.seed()


def _become(command: list[str]) -> NoReturn:
    """Become another program, with the signals as a new process has them."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except (OSError, ValueError) as error:
        print(f"{command[0]!r} cannot be started: {getattr(error, 'strerror', error)}")
        raise SystemExit(127) from error


def _end(status: int) -> NoReturn:
    """End as an interpreter does, but without taking it apart, which takes longer than the task."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status & 0xFF)


def _own_group(pid: int) -> None:
    """Make a task the leader of its process group; said on both sides, so that neither waits."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)


def _signal(group: int, number: int) -> None:
    """Send a signal to a task's process and to what it started in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(option, value, 0, 0, 0)


def _children() -> set[int]:
    """The processes whose parent this one is; empty where the system does not list them."""
    try:  # of every thread: what is preloaded may have started some
        listed = [(each / "children").read_text() for each in Path("/proc/self/task").iterdir()]
    except OSError:
        return set()
    return {int(pid) for pid in " ".join(listed).split()}


def main(control: str, path: str, preload: str) -> None:
    """Import what tasks need, then serve."""
    os.environ["_KFP_RUNTIME"] = "true"  # without it, `import kfp` loads the compiler and client
    given = json.loads(path)
    # an environment built for a task puts its own packages before the session's
    sys.path[:] = given["path"] if given["first"] else [*sys.path, *given["path"]]
    for name in ("kfp.dsl.executor", *json.loads(preload)):
        importlib.import_module(name)
    logging.basicConfig(stream=sys.stdout, level=logging.INFO)  # as KFP's entry point does
    gc.collect()
    gc.freeze()
    Server(socket.socket(fileno=int(control))).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
