"""The part of `umlops lineage` that keeps the graph: collect, rebuild, doctor, exchange."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from unified_mlops.session import Session


@click.command()
@click.option("--watch", is_flag=True, help="Go on until interrupted.")
@click.option(
    "--every", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Seconds."
)
def collect(watch: bool, every: float) -> None:
    """Read what is new in the tools' own stores."""
    from unified_mlops.session import Session

    session = Session()
    failures = _pass(session)
    while watch:
        time.sleep(every)
        _pass(session)
    if failures:
        raise SystemExit(1)


@click.command()
def rebuild() -> None:
    """Project the graph again from its observations."""
    from unified_mlops.session import Session

    Session().lineage.rebuild()


@click.command()
def doctor() -> None:
    """What is contradictory, ambiguous or unresolved in the graph."""
    from rich.console import Console
    from rich.table import Table

    findings = collected().lineage.doctor()
    table = Table("", "about", "what the records say", "hint")
    for found in findings:
        table.add_row(found.kind, found.about, found.fact, found.hint)
    Console().print(table if findings else "nothing contradictory, ambiguous or unresolved")
    if any(found.kind == "contradiction" for found in findings):
        raise SystemExit(1)


@click.command()
@click.argument("target", metavar="FILE|URL")
@click.option("--watch", is_flag=True, help="Go on with what is new until interrupted.")
@click.option(
    "--every", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Seconds."
)
@click.option("--api-key", envvar="OPENLINEAGE_API_KEY", help="For the URL.")
def export(target: str, watch: bool, every: float, api_key: str | None) -> None:
    """Write the graph as OpenLineage events to a file, or post what is new to a server."""
    from unified_mlops.lineage.openlineage import export, send

    session = collected()
    store = session.lineage.store
    name = hashlib.sha256(target.encode()).hexdigest()[:12]
    sent = session.config.workspace / f"openlineage-{name}.sent"
    while True:
        events = export.events(store.nodes(), store.edges(level="derived"))
        if "://" in target:
            count = send.post(events, target, sent, api_key)
        else:
            count = send.write(events, Path(target))
        click.echo(f"{count} events")
        if not watch:
            break
        time.sleep(every)
        _say(session.lineage.collect())


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def load(file: Path) -> None:
    """Take the OpenLineage events of FILE, one a line, into the graph."""
    from unified_mlops.lineage.openlineage import load
    from unified_mlops.session import Session

    count = Session().lineage.store.add(load.COLLECTOR, load.read(file))
    click.echo(f"{count} records new")


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=5050, show_default=True)
def serve(port: int) -> None:
    """Take OpenLineage events on loopback, at /api/v1/lineage, until interrupted."""
    from threading import Event

    from unified_mlops.lineage.openlineage import load, route
    from unified_mlops.session import Session

    store = Session().lineage.store
    server = route.serve(lambda found: store.add(load.COLLECTOR, found), port)
    click.echo(f"POST {server.url}")
    try:
        Event().wait()
    except KeyboardInterrupt:
        server.stop()


def collected() -> Session:
    """A session whose graph is up to date, saying which tools could not be read."""
    from unified_mlops.session import Session

    session = Session()
    _say(session.lineage.collect())
    return session


def _pass(session: Session) -> Mapping[str, Exception]:
    """Collect once, and say what there is now."""
    store = session.lineage.store
    before = store.count("observation")
    failures = session.lineage.collect()
    _say(failures)
    new = store.count("observation") - before
    click.echo(f"{store.count('node')} nodes, {store.count('edge')} edges ({new} records new)")
    if new:
        for item in store.unresolved():
            click.echo(f"unresolved: {item['reference']} ({item['collector']} {item['key']})")
    return failures


def _say(failures: Mapping[str, Exception]) -> None:
    for plugin, error in failures.items():
        click.echo(f"not collected: {plugin}: {error}", err=True)


commands = (collect, rebuild, doctor, export, load, serve)
