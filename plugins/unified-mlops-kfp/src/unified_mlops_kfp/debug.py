"""Running a component in the session's own process, where `breakpoint()` works."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from unified_mlops.pipelines.component import MODULE, Component, execute, exit_status

_ONE = threading.Lock()
"""The environment and the working directory are the whole process's."""


class _Both:
    """Writes to the terminal and to a log."""

    def __init__(self, terminal: IO[str], log: IO[str]) -> None:
        self._terminal, self._log = terminal, log

    def write(self, text: str) -> int:
        self._log.write(text)
        return self._terminal.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)


def run(
    component: Component,
    executor_input: Mapping[str, Any],
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
) -> int:
    """Run a component here, one at a time, and leave everything as it was.

    Args:
        component: what to run.
        executor_input: KFP's `ExecutorInput`.
        environment: variables to add.
        folder: its working directory.
        log: where what it prints goes too.

    Returns:
        The exit status, as of a process of its own.
    """
    with _ONE, _as_it_was(), log.open("w", buffering=1, encoding="utf-8") as file:
        os.environ.update(environment)
        os.chdir(folder)
        sys.stdout, sys.stderr = _Both(sys.stdout, file), _Both(sys.stderr, file)
        try:
            execute(component.source, component.function, executor_input, folder)
        except SystemExit as leave:
            return exit_status(leave)
        except BaseException:  # noqa: BLE001  the log shows it; the task has failed
            traceback.print_exc()
            return 1
    return 0


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    environment, directory = dict(os.environ), Path.cwd()
    path, arguments, streams = list(sys.path), sys.argv, (sys.stdout, sys.stderr)
    try:
        yield
    finally:
        sys.path[:], sys.argv = path, arguments
        sys.stdout, sys.stderr = streams
        sys.modules.pop(MODULE, None)
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
