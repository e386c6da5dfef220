"""The same walk as a tree, as JSON, as Mermaid and as Graphviz."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.servers import debian

from unified_mlops.lineage import render
from unified_mlops.lineage.subgraph import Subgraph
from unified_mlops.records import Edge, Node

from . import walks


@pytest.fixture(autouse=True)
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """1e9 seconds are 2001-09-09 01:46 in Greenwich, and the day before in Honolulu."""
    monkeypatch.setenv("TZ", "Pacific/Honolulu")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def drawn(walk: Subgraph) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(render.tree(walk))
    return capture.get()


def test_the_tree_names_kinds_levels_and_what_stands_above() -> None:
    lines = drawn(walks.small()).splitlines()
    assert lines[0] == "model delay"
    assert lines[1] == "├── OUTPUT recorded run fit"
    assert "INPUT declared 2001-09-08 \N{EN DASH} 2001-09-17 dataset d.csv" in lines[2]
    assert "┄INPUT inferred since 2001-09-10 feature_view weather (coarse)" in lines[3]


def test_a_truncated_tree_says_so_and_counts_guesses_apart() -> None:
    text = drawn(walks.small())
    assert "truncated: the graph goes on" in text
    assert "4 nodes, 2 edges and 1 inferred" in text
    assert "truncated" not in drawn(replace(walks.small(), truncated=False))


def test_what_was_drawn_is_named_again_and_not_repeated() -> None:
    nodes = [Node(name, "dataset", name) for name in "abcd"]
    edges = [Edge(*ends) for ends in (("a", "DERIVES", "b"), ("a", "DERIVES", "c"))]
    edges += [Edge("b", "DERIVES", "c"), Edge("c", "DERIVES", "d"), Edge("d", "DERIVES", "a")]
    text = drawn(walks.subgraph("a", "down", nodes, edges))
    assert text.count("dataset d") == 1
    assert text.count("… as above") == 2


def test_a_chain_longer_than_pythons_stack_is_a_tree() -> None:
    branch, depth = render.tree(walks.large(3000, fan=1)), 0
    while branch.children:
        branch, depth = branch.children[0], depth + 1
    assert depth == 2999


def test_no_name_steers_the_terminal() -> None:
    walk = walks.subgraph("a", "down", [Node("a", "dataset", "\x1b]0;owned\x07\u202egnp.exe")], [])
    assert not {"\x1b", "\x07", "\u202e"} & set(drawn(walk))


def test_a_walk_without_its_start_is_nothing_and_no_error() -> None:
    nowhere = Subgraph("gone", "up", {}, {})
    assert drawn(nowhere).strip() == "gone: nothing"
    assert render.mermaid(nowhere).startswith("%% 0 nodes, 0 edges\nflowchart LR")
    assert render.dot(nowhere).startswith("digraph")
    assert "Nothing" in render.html([("gone", nowhere)])


def test_intervals_of_one_day_show_the_hours_and_wild_times_are_shown_as_they_are() -> None:
    nodes = [Node("a", "dataset", "a"), Node("b", "dataset", "b")]
    for since, until, text in (
        (1e9, 1e9 + 60, "2001-09-08 15:46 \N{EN DASH} 2001-09-08 15:47"),
        (None, 1e9, "until 2001-09-08"),
        (1e300, None, "since 1e+300"),
    ):
        edge = Edge("a", "DERIVES", "b", since=since, until=until)
        assert text in drawn(walks.subgraph("a", "down", nodes, [edge]))


def test_as_dict_is_json_with_times_levels_rules_and_evidence() -> None:
    data = json.loads(json.dumps(render.as_dict(walks.small()), allow_nan=False))
    assert [node["title"] for node in data["nodes"]] == ["delay", "fit", "d.csv", "weather"]
    assert [node["time"] for node in data["nodes"]] == [1e9, None, None, None]
    assert [node["coarse"] for node in data["nodes"]] == [False, False, False, True]
    assert data["truncated"]
    assert data["edges"][1] == {
        "source": "file:///d.csv",
        "kind": "INPUT",
        "target": "run",
        "level": "declared",
        "rule": "declare",
        "since": 1e9,
        "until": 1e9 + 9 * 86400,
        "here": "run",
        "there": "file:///d.csv",
        "evidence": [
            {
                "collector": "test",
                "rule": "declare",
                "key": "record:file:///d.csv>run",
                "level": "declared",
            }
        ],
    }


def test_numbers_that_json_does_not_know_are_spelt_out() -> None:
    values = {"score": float("nan"), "loss": float("inf")}
    walk = walks.subgraph("a", "up", [Node("a", "run", "a", values)], [])
    data = json.loads(json.dumps(render.as_dict(walk), allow_nan=False))
    assert data["nodes"][0]["attributes"] == {"score": "nan", "loss": "inf"}


def test_mermaid_dots_what_is_inferred_and_marks_what_is_coarse() -> None:
    text = render.mermaid(walks.small())
    assert text.splitlines()[:3] == [
        "%% 4 nodes, 2 edges and 1 inferred; truncated: the graph goes on",
        "flowchart LR",
        '  n0["model<br/>delay"]',
    ]
    assert '  n1(["run<br/>fit"])' in text
    assert '  n3 -.->|"INPUT inferred<br/>since 2001-09-10"| n1' in text
    assert '  n1 -->|"OUTPUT recorded"| n0' in text
    assert "  class n3 coarse\n" in text


def test_dot_dots_what_is_inferred_and_dashes_what_is_coarse() -> None:
    text = render.dot(walks.small())
    assert 'label="4 nodes, 2 edges and 1 inferred; truncated: the graph goes on"' in text
    assert '  n3 -> n1 [label="INPUT inferred\\nsince 2001-09-10", style=dotted]' in text
    assert '  n1 -> n0 [label="OUTPUT recorded"]' in text
    assert 'tooltip="view", style="dashed"]' in text


MERMAID = re.compile(
    r"%% [^\n]*|flowchart LR|  classDef [^\n]*|  class n\d+ \w+"
    r'|  n\d+(\["[^"`<>]*<br/>[^"`<>]*"\]|\(\["[^"`<>]*<br/>[^"`<>]*"\]\))'
    r'|  n\d+ (-->|-\.->)\|"[^"`<>]*(<br/>[^"`<>]*)?"\| n\d+'
)
STRING = r'"([^"\\]|\\["\\n])*"'
DOT = re.compile(
    rf"digraph lineage {{|}}|  (graph|node|edge) \[[^\n]*\]"
    rf'|  n\d+ \[label={STRING}, tooltip={STRING}(, style="[a-z,]+")?\]'
    rf"|  n\d+ -> n\d+ \[label={STRING}(, style=dotted)?\]"
)


@given(st.lists(st.text(max_size=12) | st.sampled_from(walks.NASTY), min_size=1, max_size=4))
def test_any_name_is_text_in_a_diagram(names: list[str]) -> None:
    nodes = [Node(f"{i}{name}", name or "x", name) for i, name in enumerate(names)]
    edges = [Edge(node.uri, "INPUT", nodes[0].uri) for node in nodes[1:]]
    walk = walks.subgraph(nodes[0].uri, "up", nodes, edges)
    for text, line in ((render.mermaid(walk), MERMAID), (render.dot(walk), DOT)):
        assert text.isprintable() or "\n" in text
        wrong = [one for one in text.rstrip("\n").split("\n") if not line.fullmatch(one)]
        assert wrong == []
    ids = re.findall(r"^  (n\d+)[\[(]", render.mermaid(walk), re.MULTILINE)
    assert len(ids) == len(set(ids)) == len(nodes)


def test_a_mermaid_label_is_no_markdown_link_entity_or_list() -> None:
    nodes = [Node("a", "dataset", text) for text in ("1. one", "__init__.py", "&lt;", "a@b.c")]
    texts = [render.mermaid(walks.subgraph("a", "up", [node], [])) for node in nodes]
    for text, label in zip(
        texts,
        ("1#46; one", "#95;#95;init#95;#95;#46;py", "#38;lt#59;", "a#64;b.c"),
        strict=True,
    ):
        assert f"<br/>{label}" in text


def test_a_dot_label_knows_no_escape_and_no_entity_of_ours() -> None:
    walk = walks.subgraph("a", "up", [Node("a", "dataset", '\\N"&lt;')], [])
    assert 'label="dataset\\n\\\\N\\"&amp;lt;"' in render.dot(walk)


def test_graphviz_draws_hostile_names() -> None:
    done = subprocess.run(
        [debian("dot", "graphviz"), "-Tsvg"],
        input=render.dot(walks.nasty()),
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "<script" not in done.stdout


def test_no_value_can_end_the_pages_script_or_start_one() -> None:
    page = render.html([(walks.NASTY[0], walks.nasty())], walks.NASTY[0])
    assert not any(name in page for name in walks.NASTY if "<" in name)
    assert page.count("<script") == 2
    assert "\\u003c/script>" in page


def test_the_page_asks_nothing_of_the_network_and_runs_only_its_own_script() -> None:
    page = render.html([("walk", walks.small())])
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-\S+'; script-src 'sha256-\S+'; "
        r"base-uri 'none'; form-action 'none'",
        policy[1],
    )
    frame = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"\ssrc=|\son\w+=|\sstyle=|url\(|https?:", frame)
