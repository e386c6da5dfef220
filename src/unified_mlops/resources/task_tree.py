"""A job as a tree in the terminal, drawn anew while it runs.

A loop is one line however often it goes round. Where nobody looks, in CI or in a pipe, nothing is
drawn; a notebook gets the finished tree as plain text.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from time import time
from typing import TYPE_CHECKING

from unified_mlops.pipelines.drawing import WORDS, Box, base, rows
from unified_mlops.records import State, TaskRecord, TaskState

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text
    from rich.tree import Tree

_LOOK: Mapping[TaskState, tuple[str, str]] = {
    "FAILED": ("✗", "bold red"),
    "CANCELLED": ("■", "yellow"),
    "RUNNING": ("▶", "cyan"),
    "PENDING": ("·", "dim"),
    "SUCCEEDED": ("✓", "green"),
    "SKIPPED": ("↺", "magenta"),
    "NOT_TRIGGERED": ("-", "dim"),
}
"""The mark of each state and its colour; of several instances the first of these is shown."""
_QUIET: frozenset[TaskState] = frozenset({"SUCCEEDED", "SKIPPED", "NOT_TRIGGERED"})
_PER_SECOND = 8
_TAIL = 10
"""Lines of a log that are shown."""
_SHOWN = 3
"""Failures whose logs are shown."""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b.?|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(slots=True)
class _Line:
    """A task or a group with all its instances."""

    within: str
    instances: dict[str, TaskState] = field(default_factory=dict)
    states: Counter[TaskState] = field(default_factory=Counter)
    started: float | None = None
    ended: float | None = None

    def take(self, task: TaskRecord) -> None:
        if task.state == "PENDING":
            return
        if before := self.instances.get(task.name):  # perhaps of an earlier try of its group
            self.states[before] -= 1
        self.instances[task.name] = task.state
        self.states[task.state] += 1
        if task.state == "RUNNING":
            self.started = self.started or task.started or time()
        else:
            self.started = min(task.started or time(), self.started or time())
            self.ended = max(task.ended or time(), self.ended or 0)

    @property
    def state(self) -> TaskState:
        """The worst that any instance is in."""
        return next((state for state in _LOOK if self.states[state]), "PENDING")


class TaskTree:
    """Draws a job while it runs.

    Args:
        title: what stands at its root.
        graph: what `drawing.boxes` says of the pipeline, so that tasks are there before they run.
        console: where to draw; standard error, if a person looks at it, when left out.
    """

    def __init__(
        self, title: str, graph: Sequence[Box] = (), console: Console | None = None
    ) -> None:
        self._title = title
        self._console = console
        self._lines: dict[str, _Line] = {}
        self._failed: list[TaskRecord] = []
        self._guard = Lock()
        self._live: Live | None = None
        self._began = time()
        for name, within in _flat(graph, ""):
            self._lines[name] = _Line(within)

    def start(self) -> None:
        """Begin to draw, where a person looks."""
        self._console = self._console or _place()
        if self._console is not None and self._console.is_terminal:
            from rich.live import Live

            self._live = Live(
                console=self._console,
                get_renderable=self._render,
                refresh_per_second=_PER_SECOND,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start()

    def environment(self, task: TaskRecord) -> Mapping[str, str]:  # noqa: ARG002  an observer's
        """No variables."""
        return {}

    def changed(self, task: TaskRecord) -> None:
        """Take a new state; it is drawn with the next picture."""
        name, within = base(task.name), base(task.within)
        with self._guard:
            if name != within:  # an iteration of a loop is counted by the tasks in it
                self._lines.setdefault(name, _Line(within)).take(task)
                if task.state == "FAILED" and len(self._failed) < _SHOWN and not self._has(name):
                    self._failed.append(task)

    def end(self, state: State) -> None:  # noqa: ARG002  an observer's
        """Draw the last picture, and below it the ends of the logs of what failed."""
        if self._live is not None:
            self._live.stop()
        elif self._console is not None:
            self._console.print(self._render())
        if self._console is not None and self._failed:
            told = summary(self._failed)
            self._console.print(told, markup=False, highlight=False, soft_wrap=True)
        self._live = None

    def _has(self, group: str) -> bool:
        """Whether anything stands in it: then that is what failed."""
        return any(line.within == group for line in self._lines.values())

    def _render(self) -> RenderableType:
        from rich.text import Text
        from rich.tree import Tree

        height = self._console.height - 3 if self._console is not None else 50
        with self._guard:
            hidden = self._hidden(height)
            root = Tree(Text(f"{_plain(self._title)} {_duration(time() - self._began)}"))
            nodes: dict[str, Tree] = {"": root}
            for name in self._in_order():
                if name not in hidden:
                    self._add(name, nodes)
        if hidden:
            root.add(Text(f"and {len(hidden)} more tasks that are done or wait", "dim"))
        return root

    def _in_order(self) -> Iterator[str]:
        """Groups before what stands in them, however they came to be known."""
        below: dict[str, list[str]] = {}
        for name, line in self._lines.items():
            below.setdefault(line.within if line.within in self._lines else "", []).append(name)
        waiting = list(reversed(below.get("", ())))
        while waiting:
            name = waiting.pop()
            yield name
            waiting.extend(reversed(below.get(name, ())))

    def _hidden(self, height: int) -> set[str]:
        """The lines to leave out so that the rest fits on the screen: what is done, what waits."""
        over = len(self._lines) - height
        if over <= 0:
            return set()
        states = {name: line.state for name, line in self._lines.items()}
        done = [name for name, state in states.items() if state in _QUIET]
        waiting = [name for name, state in reversed(states.items()) if state == "PENDING"]
        return set([*done, *waiting][: over + 1])

    def _add(self, name: str, nodes: dict[str, Tree]) -> None:
        line = self._lines[name]
        parent = nodes.get(line.within, nodes[""])
        nodes[name] = parent.add(_text(name, line))


def summary(failed: Sequence[TaskRecord]) -> str:
    """The ends of the logs of failed tasks, each with its error and where all of it stands."""
    return "\n".join(line for task in failed[:_SHOWN] for line in _told(task))


def _told(task: TaskRecord) -> Iterator[str]:
    yield f"task {task.name!r} failed: {_plain(task.error)}"
    lines = [_plain(line) for line in task.log[-20_000:].splitlines() if line.strip()]
    yield from (f"  | {line[:500]}" for line in lines[-_TAIL:])
    if task.folder:
        yield f"  log: {task.folder}/log.txt"


def _place() -> Console | None:
    """Standard error as people see it; None where nobody looks."""
    terminal = sys.stderr.isatty()
    if os.environ.get("CI") or not (terminal or "ipykernel" in sys.modules):
        return None
    from rich.console import Console

    return Console(stderr=True, force_jupyter=False, force_terminal=terminal)


def _flat(graph: Sequence[Box], within: str) -> Iterator[tuple[str, str]]:
    for box in (box for row in rows(graph) for box in row):
        yield box.name, within
        yield from _flat(box.parts or (), box.name)


def _text(name: str, line: _Line) -> Text:
    from rich.text import Text

    state = line.state
    mark, style = _LOOK[state]
    text = Text.assemble((mark, style), " ", _plain(name))
    if counted := _counted(line):
        text.append(f" {counted}", style)
    elif state in WORDS:
        text.append(f" {WORDS[state]}", "dim")
    if line.started is not None and state not in WORDS:
        ended = line.ended if line.ended and not line.states["RUNNING"] else time()
        text.append(f" {_duration(ended - line.started)}", "dim")
    return text


def _counted(line: _Line) -> str:
    """How many instances there are, and how many of them are how far; of one nothing."""
    if len(line.instances) < 2:
        return ""
    parts = [f"{line.states['SUCCEEDED'] + line.states['SKIPPED']} done"]
    for state in ("RUNNING", "FAILED", "CANCELLED", "NOT_TRIGGERED"):
        if number := line.states[state]:
            parts.append(f"{number} {WORDS.get(state, state.lower())}")
    return f"\N{MULTIPLICATION SIGN}{len(line.instances)} ({', '.join(parts)})"


def _duration(seconds: float) -> str:
    """`0.4s`, `12s`, `3m05s`, `2h07m`."""
    whole = int(seconds)
    if seconds < 10:
        return f"{max(seconds, 0):.1f}s"
    if whole < 60:
        return f"{whole}s"
    return f"{whole // 60}m{whole % 60:02}s" if whole < 3600 else _hours(whole)


def _hours(seconds: int) -> str:
    return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"


def _plain(text: str) -> str:
    """A text that cannot move the cursor or colour the screen."""
    return _ESCAPES.sub("", text)
