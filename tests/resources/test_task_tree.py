"""The tree in the terminal: what it shows, what it folds, what it costs, where it is silent."""

from __future__ import annotations

import io
import re
import time
from typing import Any

import pytest
from rich.console import Console

from unified_mlops.pipelines.drawing import Box
from unified_mlops.records import Ref, TaskRecord, TaskState
from unified_mlops.resources.task_tree import TaskTree, summary

LOOP = (
    Box("report", ("for-loop-1",)),
    Box("for-loop-1", ("load",), (Box("train", ()),)),
    Box("load", ()),
)


def record(name: str, state: TaskState, within: str = "", **more: Any) -> TaskRecord:
    ref = Ref("kfp", "task", name, f"kfp://local/runs/job/{name}")
    return TaskRecord(ref=ref, name=name, state=state, within=within, **more)


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


def shown(screen: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())


def tree(screen: io.StringIO, graph: tuple[Box, ...] = (), *, live: bool = False) -> TaskTree:
    console = Console(file=screen, force_terminal=live, width=90, height=30)
    return TaskTree("my job", graph, console)


def loop_once(watched: TaskTree, number: int, state: TaskState) -> None:
    name, group = f"train[{number}]", f"for-loop-1[{number}]"
    watched.changed(record(group, "RUNNING", "for-loop-1"))
    watched.changed(record(name, "RUNNING", group))
    watched.changed(record(name, state, group))
    watched.changed(record(group, state, "for-loop-1"))


def test_tasks_stand_in_their_groups_in_order_with_state_and_time(screen: io.StringIO) -> None:
    watched = tree(screen, LOOP)
    watched.start()
    watched.changed(record("load", "RUNNING", started=100.0))
    watched.changed(record("load", "SUCCEEDED", started=100.0, ended=165.0))
    watched.end("COMPLETE")
    lines = shown(screen).splitlines()
    assert lines[0].startswith("my job")
    assert lines[1:] == [
        "├── ✓ load 1m05s",
        "├── · for-loop-1",
        "│   └── · train",
        "└── · report",
    ]


def test_a_group_that_is_first_heard_of_after_its_tasks_holds_them(screen: io.StringIO) -> None:
    watched = tree(screen)
    watched.start()
    watched.changed(record("inner", "SUCCEEDED", "outer", started=1.0, ended=1.5))
    watched.changed(record("outer", "SUCCEEDED", started=1.0, ended=2.0))
    watched.end("COMPLETE")
    assert shown(screen).splitlines()[1:3] == ["└── ✓ outer 1.0s", "    └── ✓ inner 0.5s"]


def test_a_loop_of_a_thousand_is_one_line_that_counts(screen: io.StringIO) -> None:
    watched = tree(screen, LOOP)
    watched.start()
    watched.changed(record("for-loop-1", "RUNNING"))
    for number in range(870):
        loop_once(watched, number, "SUCCEEDED")
    loop_once(watched, 870, "FAILED")
    for number in range(871, 1000):
        watched.changed(record(f"train[{number}]", "RUNNING", f"for-loop-1[{number}]"))
    watched.end("FAILED")
    tree_text = shown(screen)
    assert "✗ train \N{MULTIPLICATION SIGN}1000 (870 done, 129 running, 1 failed)" in tree_text
    assert tree_text.count("train") == 2  # the line, and what failed below


def test_a_task_whose_group_is_tried_again_counts_once(screen: io.StringIO) -> None:
    watched = tree(screen)
    watched.start()
    for state in ("FAILED", "SUCCEEDED"):
        watched.changed(record("a", "RUNNING", "group"))
        watched.changed(record("a", state, "group", started=1.0, ended=2.0))
    watched.end("COMPLETE")
    assert "✓ a 1.0s" in shown(screen)


def test_tasks_from_the_cache_and_not_triggered_say_so(screen: io.StringIO) -> None:
    watched = tree(screen)
    watched.start()
    watched.changed(record("a", "SKIPPED"))
    watched.changed(record("b", "NOT_TRIGGERED"))
    watched.end("COMPLETE")
    assert "↺ a from the cache" in shown(screen)
    assert "- b not triggered" in shown(screen)


def test_the_end_of_the_log_of_what_failed_comes_last_with_its_path(screen: io.StringIO) -> None:
    watched = tree(screen)
    watched.start()
    log = "\n".join(f"line {number}" for number in range(100))
    watched.changed(record("a", "RUNNING", "group"))
    watched.changed(
        record(
            "a", "FAILED", "group", log=log, error="ValueError: no", folder=f"/root/{'long/' * 30}a"
        )
    )
    watched.changed(record("group", "FAILED", error="task 'a' failed"))
    watched.end("FAILED")
    told = shown(screen)
    assert "task 'a' failed: ValueError: no" in told
    assert "| line 99" in told
    assert "| line 90" in told
    assert "line 89" not in told
    assert f"log: /root/{'long/' * 30}a/log.txt" in told
    assert "task 'group'" not in told  # what failed is the task in it


def test_a_group_that_fails_by_itself_is_told(screen: io.StringIO) -> None:
    watched = tree(screen)
    watched.start()
    watched.changed(record("for-loop-1", "FAILED", error="the items are no list"))
    watched.end("FAILED")
    assert "task 'for-loop-1' failed: the items are no list" in shown(screen)


def test_a_log_neither_moves_the_cursor_nor_marks_up_the_screen() -> None:
    failed = record(
        "a", "FAILED", log="\x1b[2J\x1b[31mred\x1b[0m [bold]b[/bold]\x07", error="e\x1b"
    )
    assert summary([failed]) == "task 'a' failed: e\n  | red [bold]b[/bold]"


def test_names_are_no_markup(screen: io.StringIO) -> None:
    watched = TaskTree("[red]job[/red]", (), Console(file=screen, width=90))
    watched.start()
    watched.changed(record("[blink]x", "SUCCEEDED"))
    watched.end("COMPLETE")
    assert "[red]job[/red]" in shown(screen)
    assert "[blink]x" in shown(screen)


def test_a_tree_higher_than_the_screen_leaves_out_what_is_done(screen: io.StringIO) -> None:
    watched = tree(screen)
    watched.start()
    for number in range(200):
        watched.changed(record(f"task-{number}", "SUCCEEDED"))
    watched.changed(record("busy", "RUNNING"))
    watched.changed(record("broken", "FAILED", error="e"))
    watched.end("FAILED")
    lines = shown(screen).splitlines()
    assert len(lines) <= 30
    assert any("busy" in line for line in lines)
    assert any("✗ broken" in line for line in lines)
    assert any("more tasks that are done or wait" in line for line in lines)


def test_in_a_terminal_it_is_drawn_at_most_eight_times_a_second(screen: io.StringIO) -> None:
    watched = tree(screen, LOOP, live=True)
    watched.start()
    began = time.monotonic()
    number = 0
    while time.monotonic() - began < 1:
        loop_once(watched, number, "SUCCEEDED")
        number += 1
        time.sleep(0.001)
    took = time.monotonic() - began
    watched.end("COMPLETE")
    assert 2 <= screen.getvalue().count("my job") <= took * 8 + 3


def test_a_change_costs_less_than_a_millisecond(screen: io.StringIO) -> None:
    watched = tree(screen, LOOP, live=True)
    watched.start()
    began = time.process_time()
    for number in range(1000):
        loop_once(watched, number, "SUCCEEDED")
    took = time.process_time() - began
    watched.end("COMPLETE")
    assert took / 4000 < 0.001


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_is_drawn_in_ci_or_where_there_is_no_terminal(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if terminal:
        monkeypatch.setenv("CI", "true")
        monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    watched = TaskTree("my job", LOOP)
    watched.start()
    watched.changed(record("load", "FAILED", error="e", log="l", folder="/f"))
    watched.end("FAILED")
    assert capfd.readouterr() == ("", "")


def test_a_notebook_gets_the_finished_tree_as_plain_text(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setitem(sys.modules, "ipykernel", io)
    watched = TaskTree("my job", LOOP)
    watched.start()
    watched.changed(record("load", "SUCCEEDED"))
    assert capfd.readouterr().err == ""
    watched.end("COMPLETE")
    told = capfd.readouterr().err
    assert "✓ load" in told
    assert "\x1b" not in told
