"""The caller's side of the fork server: started when the first task comes, gone with its owner."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from unified_mlops.errors import BackendError, ConfigError

_DYING = 0.5
"""Seconds between the last word of a fork server and its end: only then is another one started."""


class Stop:
    """Ends what runs for one task, from any thread. `asked` says whether it was asked to."""

    asked = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None

    def ask(self) -> None:
        """End what runs now, and what would run next."""
        with self._lock:
            self.asked = True
            self._end()

    @contextlib.contextmanager
    def watch(self, connection: socket.socket) -> Iterator[None]:
        """Within it, `ask` ends the process behind this connection to the fork server."""
        with self._lock:
            self._connection = connection
            if self.asked:
                self._end()
        try:
            yield
        finally:
            with self._lock:
                self._connection = None

    def _end(self) -> None:
        if self._connection:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_WR)


class Launcher:
    """Runs components and commands, any number at once, each in a process forked for it.

    Args:
        preload: modules that the fork server imports before it forks.
        python: the interpreter of another environment; the session's own where empty.
    """

    def __init__(self, preload: Sequence[str] = (), python: str = "") -> None:
        self._preload = tuple(preload)
        self._python = python
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._started: list[tuple[subprocess.Popen[bytes], socket.socket]] = []
        # made before any job: what is to be done first at exit has to come later
        weakref.finalize(self, _stop, self._started)

    def run(self, request: Mapping[str, Any], stop: Stop) -> int:
        """Run one component or command and wait for it.

        Args:
            request: `environment`, `folder`, `log`, and `command`, or `source`, `function` and
                `executor_input`.
            stop: ends it with all that it started: SIGTERM, and two seconds later SIGKILL.

        Returns:
            The exit status, negative for a signal.

        Raises:
            BackendError: the fork server is gone.
            ConfigError: it cannot import a module to preload.
        """
        ours, theirs = socket.socketpair()
        process = status = b""
        with ours:
            with theirs:
                server = self._hand_over(theirs)
            try:
                ours.sendall(json.dumps(request).encode() + b"\n")
                with stop.watch(ours), ours.makefile("rb") as answers:
                    process, status = answers.readline(), answers.readline()
            except OSError as error:
                raise _lost(server) from error
        if not status:
            if process:  # it ended with the server, but perhaps not what it had started
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(int(process), signal.SIGKILL)
            raise _lost(server)
        return int(status)

    def _hand_over(self, connection: socket.socket) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._server is None or self._server.poll() is not None:
                self._start()
            assert self._control is not None and self._server is not None
            try:
                socket.send_fds(self._control, [b"\0"], [connection.fileno()])
            except OSError as error:
                raise _lost(self._server) from error
            return self._server

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        path = json.dumps({"path": sys.path, "first": not self._python})
        arguments = (str(theirs.fileno()), path, json.dumps(self._preload))
        with theirs, tempfile.TemporaryFile() as output:
            server = subprocess.Popen(
                [self._python or sys.executable, "-m", "unified_mlops_kfp.forkserver", *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for us to deal with
            )
            theirs.close()
            if not ours.recv(1):
                ours.close()
                server.wait()
                output.seek(0)
                raise self._failed(output.read().decode(errors="replace"))
        self._server, self._control = server, ours
        self._started.append((server, ours))

    def _failed(self, output: str) -> Exception:
        last = output.strip().rpartition("\n")[2]
        if self._preload:
            return ConfigError(
                f"the modules to preload {', '.join(self._preload)!r} cannot be imported: {last}",
                hint="mend preload in [plugins.kfp]",
            )
        return BackendError(
            f"the fork server did not start: {last}", hint="pip install 'kfp>=2.17,<3'"
        )


def _stop(started: Sequence[tuple[subprocess.Popen[bytes], socket.socket]]) -> None:
    """Close the control sockets, which ends the servers and every task."""
    for server, control in started:
        with contextlib.suppress(OSError):
            control.close()
        server.wait()


def _lost(server: subprocess.Popen[bytes]) -> BackendError:
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(_DYING)
    return BackendError(
        "the fork server ended while a task was running",
        hint="see whether the machine ran out of memory, and run the pipeline again",
    )
