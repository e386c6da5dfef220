"""`umlops up`: the tools' own pages on this workspace."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click

from unified_mlops.records import UI


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

    offered = Session().tell(PluginHooks.mlops_describe_ui).answers
    for name in plugins:
        if name not in offered:
            raise missing_plugin(name, list(offered))
    with ExitStack() as stack:
        for name in plugins or offered:
            url = stack.enter_context(opened(offered[name], wait))
            click.echo(f"{offered[name].title:<12} {url}")
        click.echo("Ctrl-C closes them all")
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            signal.pause()
        except KeyboardInterrupt:
            click.echo("closing")


@contextmanager
def opened(ui: UI, wait: float = 60) -> Iterator[str]:
    """Start a tool's page on loopback; yields its address once it answers.

    Args:
        ui: how to start it; its port is used if it is free, else another.
        wait: seconds to wait for it.
    """
    port = _free_port(ui.port)
    command = [part.replace("{port}", str(port)) for part in ui.command]
    server = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, **ui.environment},
    )
    try:
        _wait_for(server, ui, port, wait)
        yield f"http://127.0.0.1:{port}"
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


def _wait_for(server: subprocess.Popen[bytes], ui: UI, port: int, wait: float) -> None:
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise click.ClickException(
        f"{ui.title} did not answer within {wait:.0f} s; by hand: {' '.join(ui.command)}"
    )


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
