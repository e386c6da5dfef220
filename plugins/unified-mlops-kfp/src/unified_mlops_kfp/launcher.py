"""The caller's side of the fork server: started when the first task comes, gone with its owner."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from unified_mlops.errors import BackendError, ConfigError


class Launcher:
    """Runs components, any number at once, each in a process forked for it.

    Args:
        preload: modules that the fork server imports before it forks.
    """

    def __init__(self, preload: Sequence[str]) -> None:
        self._preload = tuple(preload)
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def run(self, request: Mapping[str, Any]) -> int:
        """Run one component and wait for it.

        Args:
            request: `source`, `function`, `executor_input`, `environment`, `folder`, `log`.

        Returns:
            The exit status, negative for a signal.

        Raises:
            BackendError: the fork server is gone.
            ConfigError: it cannot import a module to preload.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._hand_over(theirs)
            try:
                ours.sendall(json.dumps(request).encode() + b"\n")
                status = ours.makefile("rb").readline()
            except OSError as error:
                raise _lost() from error
        if not status:
            raise _lost()
        return int(status)

    def _hand_over(self, connection: socket.socket) -> None:
        with self._lock:
            if self._server is None or self._server.poll() is not None:
                self._start()
            assert self._control is not None
            try:
                socket.send_fds(self._control, [b"\0"], [connection.fileno()])
            except OSError as error:
                raise _lost() from error

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        arguments = (str(theirs.fileno()), json.dumps(sys.path), json.dumps(self._preload))
        with theirs, tempfile.TemporaryFile() as output:
            server = subprocess.Popen(
                [sys.executable, "-m", "unified_mlops_kfp.forkserver", *arguments],
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
        weakref.finalize(self, _stop, server, ours)

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


def _stop(server: subprocess.Popen[bytes], control: socket.socket) -> None:
    """Close the control socket, which ends the server and every task."""
    with contextlib.suppress(OSError):
        control.close()
    server.wait()


def _lost() -> BackendError:
    return BackendError(
        "the fork server ended while a task was running",
        hint="see whether the machine ran out of memory, and run the pipeline again",
    )
