import json
from pathlib import Path

import pytest
from rich.console import Console

from unified_mlops.lineage import render
from unified_mlops.lineage.api import Lineage
from unified_mlops.lineage.query import Subgraph
from unified_mlops.records import Edge, Node, Observation
from unified_mlops.session import Told

NASTY = "</script><script>alert(1)</script>"


@pytest.fixture
def walk(tmp_path: Path) -> Subgraph:
    lineage = Lineage(tmp_path / "g.db", lambda cursors: Told())
    nodes = (Node("a", "dataset", NASTY), Node("b", "model", "model"), Node("c", "run", "r"))
    edges = (
        Edge("a", "INPUT", "c", "recorded"),
        Edge("c", "OUTPUT", "b", "recorded"),
        Edge("a", "DERIVES", "b", "inferred"),
    )
    lineage.store.add("t", [Observation("k", nodes, edges)])
    return lineage.upstream("b", min_level="inferred")


def test_the_tree_names_kinds_levels_and_what_stands_above(walk: Subgraph) -> None:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(render.tree(walk))
    text = capture.get()
    assert text.splitlines()[0] == "model model"
    assert "OUTPUT recorded run r" in text
    assert "┄DERIVES inferred dataset" in text


def test_no_value_can_end_the_pages_script_or_start_one(walk: Subgraph) -> None:
    page = render.html([("walk", walk)])
    assert NASTY not in page
    assert page.count("<script") == 2
    assert "\\u003c/script>" in page


def test_the_page_asks_nothing_of_the_network(walk: Subgraph) -> None:
    page = render.html([("walk", walk)])
    assert "default-src 'none'" in page
    assert "src=" not in page.replace("default-src", "").replace("script-src", "").replace(
        "style-src", ""
    )
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


def test_as_dict_is_json_with_every_node_and_edge(walk: Subgraph) -> None:
    data = json.loads(json.dumps(render.as_dict(walk)))
    assert {node["uri"] for node in data["nodes"]} == {"a", "b", "c"}
    assert len(data["edges"]) == 3
