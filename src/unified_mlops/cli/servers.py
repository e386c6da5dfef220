"""`umlops up`: the tools' own pages on this workspace."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unified_mlops.errors import UnsupportedError
from unified_mlops.records import UI

if TYPE_CHECKING:
    from unified_mlops.session import Session

EVERY = 10.0
"""Seconds between two looks at the tools' stores while the pages are open."""


@click.command()
@click.argument("plugins", nargs=-1)
@click.option("--wait", default=60, show_default=True, help="Seconds to wait for each page.")
def up(plugins: tuple[str, ...], wait: int) -> None:
    """Open the tools' own pages on loopback and print their addresses, until Ctrl-C.

    PLUGINS names the ones to open; all if left out.
    """
    from unified_mlops.hookspecs import PluginHooks
    from unified_mlops.loader import missing_plugin
    from unified_mlops.session import Session

    session = Session()
    offered = session.tell(PluginHooks.mlops_describe_ui).answers
    for name in plugins:
        if name not in session.plugins:
            raise missing_plugin(name, session.plugins)
        if name not in offered:
            raise UnsupportedError(f"{name!r} has no page", hint=f"umlops up {' '.join(offered)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        pages = [stack.enter_context(started(offered[name])) for name in plugins or offered]
        told = [page.wait(wait) for page in pages]
        for line in told:
            click.echo(line)
        try:
            click.echo("Ctrl-C closes them all")
            keep_collected(session)
        except KeyboardInterrupt:
            click.echo("closing")


def keep_collected(session: Session) -> None:
    """Collect again and again, so that the lineage pages show what is there; never returns."""
    said: list[str] = []
    while True:
        failures = session.lineage.collect()
        told = [f"not collected: {plugin}: {error}" for plugin, error in failures.items()]
        if told != said:
            click.echo("\n".join(told) or "all collected again", err=True)
        said = told
        time.sleep(EVERY)


@dataclass(frozen=True)
class Page:
    """A tool's page that is being opened."""

    ui: UI
    port: int
    server: subprocess.Popen[bytes]
    log: Path

    def wait(self, seconds: float) -> str:
        """Its address once it answers, or why it does not."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.server.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return f"{self.ui.title:<12} http://127.0.0.1:{self.port}"
            time.sleep(0.1)
        said = self.log.read_text(errors="replace").strip().rpartition("\n")[2]
        return f"{self.ui.title:<12} did not answer: {said or 'no word'} (see {self.log})"


@contextmanager
def started(ui: UI) -> Iterator[Page]:
    """Start a tool's page on loopback, and end it with the block.

    Args:
        ui: how to start it; its port is used if it is free, else another.
    """
    port = _free_port(ui.port)
    command = [part.replace("{port}", str(port)) for part in ui.command]
    log = Path(tempfile.gettempdir()) / f"umlops-{ui.plugin}-{os.getpid()}.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **ui.environment},
        )
    try:
        yield Page(ui, port, server, log)
    finally:
        _stop(server)


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the whole process group, by force if it does not go."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, sign)
            server.wait(timeout=10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
