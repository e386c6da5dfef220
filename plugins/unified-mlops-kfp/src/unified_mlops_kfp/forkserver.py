"""The subprocess that runs components: it imports once, then forks a fresh process per task.

    python -m unified_mlops_kfp.forkserver <control fd> <JSON: sys.path> <JSON: modules to preload>

Over the control socket come connections, one per task, as file descriptors. A connection carries
a request, one line of JSON, and brings back the exit status of the process that ran it. Closing
it early kills that process and all it started; closing the control socket kills everything.
The server has one thread, because forking a process with several is not safe.
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
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

COMPONENT = "ephemeral_component"
"""The name that KFP gives to the module it makes of a component's source."""


_PR_SET_PDEATHSIG = 1


class Server:
    """Waits for requests, and for the processes that run them.

    Args:
        control: where connections come from.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._running: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Serve until the control socket is closed, and leave no process behind."""
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._control.sendall(b"\0")  # ready
        while self._turn():
            pass
        for pid in self._running:
            _kill(pid)
            os.waitpid(pid, 0)

    def _turn(self) -> bool:
        """Deal with what has happened; False where the control socket was closed."""
        for key, _ in self._selector.select():
            if key.fileobj is self._control:
                _, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
                if not descriptors:
                    return False
                self._start(socket.socket(fileno=descriptors[0]))
            elif key.fileobj is self._woken:
                self._woken.recv(4096)
                self._reap()
            else:
                self._selector.unregister(key.fileobj)
                _kill(key.data)
        return True

    def _start(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            request = lines.readline()
        if not request.endswith(b"\n"):  # given up before it was sent
            return connection.close()
        pid = os.fork()
        if pid == 0:
            self._running[0] = connection
            self._become_task()
            run(json.loads(request))
        _own_group(pid)
        self._running[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ, pid)
        return None

    def _reap(self) -> None:
        for pid in list(self._running):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                _kill(pid)  # what the task started and left running
                connection = self._running.pop(pid)
                with contextlib.suppress(KeyError):
                    self._selector.unregister(connection)
                with contextlib.suppress(OSError), connection:
                    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))

    def _become_task(self) -> None:
        """In the new process: let go of everything that is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for end in (self._control, self._wake, self._woken, *self._running.values()):
            end.close()
        _own_group(0)
        if sys.platform == "linux":  # where the server can be killed without a word, so are we
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run(request: dict[str, Any]) -> NoReturn:
    """Run a component as the request says, and end the process."""
    status = 1
    try:
        _settle_in(request)
        _execute(request)
        status = 0
    except SystemExit as leave:
        status = _status(leave.code)
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
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    if "numpy" in sys.modules:  # or every task would draw the same numbers
        sys.modules["numpy"].random.seed()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO)


def _execute(request: dict[str, Any]) -> None:
    """Do what `kfp.dsl.executor_main` does, without a new interpreter."""
    from kfp.dsl.executor import Executor

    path = Path(request["folder"], f"{COMPONENT}.py")
    path.write_text(request["source"])  # tracebacks and `inspect` read it
    given, function = request["executor_input"], request["function"]
    sys.argv = [str(path), "--executor_input", json.dumps(given), "--function_to_execute", function]
    module = ModuleType(COMPONENT)
    module.__file__ = str(path)
    sys.modules[COMPONENT] = module
    code = compile(request["source"], path, "exec", dont_inherit=True)
    exec(code, module.__dict__)
    Executor(executor_input=given, function_to_execute=getattr(module, function)).execute()


def _status(code: object) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


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


def _kill(group: int) -> None:
    """Kill a task's process and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def main(control: str, path: str, preload: str) -> None:
    """Import what tasks need, then serve."""
    os.environ["_KFP_RUNTIME"] = "true"  # without it, `import kfp` loads the compiler and client
    sys.path[:] = json.loads(path)
    for name in ("kfp.dsl.executor", *json.loads(preload)):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    Server(socket.socket(fileno=int(control))).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
