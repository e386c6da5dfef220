"""`umlops scheduler`, `umlops schedule`: pipelines that are run by the clock."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from unified_mlops.pipelines.schedule import Schedule
    from unified_mlops.resources.scheduler import Scheduler
    from unified_mlops.resources.schedules import PipelineJobSchedule

EVERY = 1.0
"""Seconds between two looks at what is due."""


@click.command()
@click.option("--grace", default=20.0, show_default=True, help="Seconds that running jobs get.")
def scheduler(grace: float) -> None:
    """Run what the schedules of this workspace have due, until Ctrl-C or SIGTERM.

    Then nothing more is started. What has not ended within the grace is interrupted, and the next
    scheduler resumes it, as it does if this one is killed.
    """
    from unified_mlops.pipelines.timetable import Timetable
    from unified_mlops.resources.scheduler import Scheduler
    from unified_mlops.session import Session

    sys.stderr = _Lines(os.fdopen(os.dup(2), "wb"), line_buffering=True)
    session = Session()
    stop = threading.Event()
    with Timetable(session.config.workspace).run():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        _say(f"scheduling {session.config.workspace}; Ctrl-C ends it")
        running = Scheduler(session, tell=_say)
        while not stop.is_set():
            running.look()
            stop.wait(EVERY)
        left = _finish(running, grace)
        session.close()
    if left:
        _say("what runs is interrupted; the next scheduler resumes it")
        sys.stdout.flush()
        os._exit(0)  # threads that follow a job would keep this process; its tasks end with it


class _Lines(io.TextIOWrapper):
    """A terminal as a plain file: of many jobs at once none draws its tree there."""

    def isatty(self) -> bool:
        """No."""
        return False


def _finish(running: Scheduler, grace: float) -> bool:
    """Give the jobs that run so many seconds; whether some are left."""
    deadline = time.monotonic() + grace
    while running.busy and time.monotonic() < deadline:
        time.sleep(0.1)
    running.look(start=False)
    return running.busy


@click.group()
def schedule() -> None:
    """See and change the schedules that `umlops scheduler` runs.

    A NAME is a schedule's id, or its display name where no other has that.
    """


@schedule.command("list")
def list_schedules() -> None:
    """Every schedule, with what is next and how the last run went."""
    from rich.console import Console
    from rich.table import Table

    from unified_mlops.config import Config
    from unified_mlops.pipelines.timetable import Timetable

    table = Table("name", "schedule", "state", "cron", "next run", "last run", "runs", "now")
    for found in Timetable(Config.load().workspace).all():
        table.add_row(*_row(found))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@schedule.command()
@click.argument("name")
def pause(name: str) -> None:
    """Start no more runs of NAME; those that run go on."""
    found = _found(name)
    found.pause()
    click.echo(f"{found.name} is paused")


@schedule.command()
@click.argument("name")
@click.option("--catch-up/--skip", default=True, show_default=True, help="Run what was missed.")
def resume(name: str, catch_up: bool) -> None:
    """Go on with NAME after a pause."""
    found = _found(name)
    found.resume(catch_up=catch_up)
    click.echo(f"{found.name} goes on")


@schedule.command()
@click.argument("name")
def delete(name: str) -> None:
    """Forget NAME; the jobs that it has started stay."""
    found = _found(name)
    found.delete()
    click.echo(f"{found.name} is deleted")


def _found(name: str) -> PipelineJobSchedule:
    from unified_mlops.resources.schedules import PipelineJobSchedule

    return PipelineJobSchedule.get(name)


def _row(found: Schedule) -> tuple[Any, ...]:
    from rich.text import Text

    from unified_mlops.pipelines.cron import Cron

    def shown(moment: datetime | None) -> str:
        zone = Cron(found.cron).zone
        return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z") if moment else ""

    last = found.last_run
    color = {"ACTIVE": "green", "PAUSED": "yellow", "COMPLETED": "dim"}[found.state]
    begun = shown(datetime.fromisoformat(last["due"])) if last else ""
    ran = Text(begun)
    if last and last["error"]:
        ran.append(f"\n{last['error']}", "red")
    limit = f" of {found.max_run_count}" if found.max_run_count else ""
    skipped = f", {found.skipped_run_count} skipped" if found.skipped_run_count else ""
    waiting = f", {len(found.queue)} waiting" if found.queue else ""
    return (
        Text(found.name),
        Text(found.display_name),
        Text(found.state, color),
        Text(found.cron),
        shown(found.next_run_time),
        ran,
        f"{found.started_run_count}{limit}{skipped}",
        f"{len(found.running)} running{waiting}" if found.running or found.queue else "",
    )


def _say(line: str) -> None:
    click.echo(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {line}")
