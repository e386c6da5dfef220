"""`umlops pipeline`: what ran, how it went, and why tasks came from the cache or did not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unified_mlops.errors import NotFoundError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from unified_mlops.pipelines.cache import Explanation
    from unified_mlops.records import TaskRecord
    from unified_mlops.resources.pipelines import PipelineJob

_ROOT = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="The pipeline root; below the workspace if left out.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_COLORS = {
    "SUCCEEDED": "green",
    "SKIPPED": "cyan",
    "FAILED": "red",
    "RUNNING": "blue",
    "CANCELLED": "yellow",
    "PAUSED": "yellow",
}


@click.group()
def pipeline() -> None:
    """Look at pipeline jobs, and at why a task came from the cache or did not."""


@pipeline.command("list")
@click.option("--filter", "chosen", default="", help='Such as: state="*FAILED" AND labels.team:ads')
@click.option("--order-by", default="", help="Such as: display_name, create_time desc")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@_ROOT
@_JSON
def list_jobs(chosen: str, order_by: str, limit: int, root: Path | None, as_json: bool) -> None:
    """Every job, the newest first."""
    from rich.table import Table
    from rich.text import Text

    from unified_mlops.resources.pipelines import PipelineJob

    found = PipelineJob.list(chosen, order_by, pipeline_root=root)
    if as_json:
        _echo([job.shown() for job in found[:limit]])
        return
    table = Table("job", "name", "pipeline", "state", "began", "took", "error")
    for told in (job.shown() for job in found[:limit]):
        table.add_row(
            Text(told["job_id"]),
            Text(told["display_name"]),
            Text(told["pipeline_name"]),
            _state(told["state"]),
            _moment(told["create_time"]),
            _between(told["create_time"], told["end_time"]),
            Text(_line(told["error"]), "red"),
        )
    _print(table if found else "there is no such job")
    if len(found) > limit:
        click.echo(f"{len(found) - limit} more: --limit {len(found)}")


@pipeline.command()
@click.argument("job")
@_ROOT
@_JSON
def show(job: str, root: Path | None, as_json: bool) -> None:
    """JOB with its tasks: states, times, what came from the cache, what failed and its log."""
    from rich.table import Table
    from rich.text import Text

    found = _job(job, root)
    told, tasks = found.shown(), found.task_details.values()
    if as_json:
        _echo({**told, "tasks": {task.name: _task(task) for task in tasks}})
        return
    for name, value in told.items():
        if value not in (None, "", {}):
            _print(Text.assemble((f"{name:<14}", "dim"), _text(name, value)))
    table = Table("task", "state", "tries", "took", "cache", "error", "files")
    for depth, task in _tree(found.task_details):
        table.add_row(
            Text("  " * depth + task.name),
            _state(task.state),
            str(task.tries or ""),
            _took(task.started, task.ended),
            Text(task.cache),
            Text(_line(task.error), "red"),
            Text(task.folder),
        )
    _print(table)


@pipeline.command("explain-cache")
@click.argument("job")
@click.argument("task")
@_ROOT
@_JSON
def explain_cache(job: str, task: str, root: Path | None, as_json: bool) -> None:
    """Why TASK of JOB came from the cache or did not, part by part."""
    from rich.text import Text

    told = _explanation(job, task, root)
    if as_json:
        click.echo(json.dumps(json.loads(told.to_json()), indent=1))
        return
    word = ("hit", "green") if told.hit else ("miss", "yellow")
    _print(Text.assemble((task, "bold"), ": ", word, f", {told.reason}"))
    if told.parts:
        _print(_compared(told))


def _compared(told: Explanation) -> RenderableType:
    """The parts of this run beside those of the one it was compared with."""
    from rich.table import Table
    from rich.text import Text

    table = Table("", "part", "this run", f"job {told.job}" if told.job else "no earlier run")
    for name in [*told.parts, *(name for name in told.before if name not in told.parts)]:
        now, before = (_part(told.parts, name), _part(told.before, name))
        raw = [json.dumps(side.get(name), sort_keys=True) for side in (told.parts, told.before)]
        changed = bool(told.before) and (raw[0] != raw[1] or "" in (now, before))
        style = "bold yellow" if changed else ""
        table.add_row("≠" if changed else "", Text(name, style), Text(now), Text(before))
    return table


def _explanation(job: str, task: str, root: Path | None) -> Explanation:
    from unified_mlops.pipelines.cache import FILE, Explanation
    from unified_mlops.pipelines.journal import find

    folder = find(_root(root), job).folder
    known = sorted(file.parent.name for file in folder.glob(f"*/{FILE}"))
    if task not in known:
        fact = f"nobody looked into the cache for a task {task!r} of job {job!r}"
        names = f"one of {', '.join(known)}" if known else f"umlops pipeline show {job}"
        raise NotFoundError(fact, hint=names)
    return Explanation.from_json((folder / task / FILE).read_text())


def _root(root: Path | None) -> Path:
    from unified_mlops.config import Config

    return root or Config.load().workspace / "pipelines"


def _job(job_id: str, root: Path | None) -> PipelineJob:
    from unified_mlops.resources.pipelines import PipelineJob

    found = PipelineJob.get(job_id, pipeline_root=root)
    if found is None:
        raise NotFoundError(f"there is no job {job_id!r}", hint="umlops pipeline list")
    return found


def _part(parts: Mapping[str, Any], name: str) -> str:
    """A part in a table cell: hashes by their beginning."""
    from unified_mlops.pipelines.parts import short

    if name not in parts:
        return ""
    value = parts[name]
    if isinstance(value, Mapping) and "content" in value:
        kind = value["type"].get("schemaTitle") or value["type"].get("instanceSchema", "")
        metadata = short(value["metadata"]) if value["metadata"] else ""
        return f"{kind} {_hash(value['content']) or 'nothing there'} {metadata}".rstrip()
    return _hash(value) if isinstance(value, str) and value[:7] == "sha256:" else short(value)


def _hash(text: str) -> str:
    return f"{text[:19]}…" if text.startswith(("sha256:", "folder:")) else text


def _task(task: TaskRecord) -> dict[str, Any]:
    names = ("state", "within", "parameters", "artifacts", "inputs", "received", "error")
    more = ("folder", "tries", "started", "ended", "cache")
    return {name: getattr(task, name) for name in (*names, *more)}


def _tree(tasks: Mapping[str, TaskRecord], within: str = "") -> Iterator[tuple[int, TaskRecord]]:
    """Each task with its depth, in the order in which they began, below its group."""
    inner = [task for task in tasks.values() if task.within == within]
    for task in sorted(inner, key=lambda task: task.started or inf):
        yield 0, task
        yield from ((depth + 1, below) for depth, below in _tree(tasks, task.name))


def _text(name: str, value: Any) -> Text | str:
    if name == "state":
        return _state(value)
    if isinstance(value, datetime):
        return _moment(value)
    return json.dumps(value) if isinstance(value, Mapping) else str(value)


def _state(state: str) -> Text:
    from rich.text import Text

    word = state.removeprefix("PIPELINE_STATE_")
    return Text(word, _COLORS.get(word, "dim"))


def _line(error: str) -> str:
    return error.strip().partition("\n")[0]


def _moment(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def _between(start: datetime | None, end: datetime | None) -> str:
    return _took(start.timestamp(), end.timestamp()) if start and end else ""


def _took(start: float | None, end: float | None) -> str:
    return f"{end - start:.1f} s" if start is not None and end is not None else ""


def _echo(value: Any) -> None:
    def plain(moment: datetime) -> str:
        return moment.isoformat()

    click.echo(json.dumps(value, indent=1, default=plain))


def _print(shown: RenderableType) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 200).print(shown)
