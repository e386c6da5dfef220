"""The graph of a compiled pipeline and its picture."""

from xml.etree import ElementTree

import pytest
import yaml
from kfp import compiler, dsl

from unified_mlops.pipelines.drawing import Box, base, boxes, leaves, svg

SVG = "{http://www.w3.org/2000/svg}"


@dsl.component(base_image="python:3.11")
def load() -> int:
    return 1


@dsl.component(base_image="python:3.11")
def train(x: int) -> float:
    return 0.5


@dsl.component(base_image="python:3.11")
def tell():
    print("done")


@dsl.pipeline(name="inner")
def inner(x: int) -> float:
    return train(x=x).output


@dsl.pipeline(name="drawn")
def drawn():
    cleanup = tell()
    with dsl.ExitHandler(cleanup):
        loaded = load()
        with dsl.ParallelFor(items=[1, 2]) as item:
            train(x=item).after(loaded)
        with dsl.If(loaded.output == 1):
            inner(x=loaded.output)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    path = tmp_path_factory.mktemp("p") / "p.yaml"
    compiler.Compiler().compile(drawn, str(path))
    spec = next(yaml.safe_load_all(path.read_text()))
    condition = find(boxes(spec, {}), "condition").name
    return boxes(spec, {f"exit-handler-1.{condition}.inner.train": "inner.train"})


def find(graph, start):
    for box in graph:
        if box.name.startswith(start):
            return box
        if box.parts and (found := find(box.parts, start)):
            return found
    return None


def words(picture):
    return [node.text for node in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_groups_hold_their_tasks_and_tasks_are_called_as_their_records(graph):
    assert {box.name for box in graph} == {"exit-handler-1", "tell"}
    assert [box.name for box in find(graph, "inner").parts] == ["inner.train"]
    assert leaves(graph) == {"load", "train", "inner.train", "tell"}


def test_a_task_comes_after_those_it_waits_for_and_those_it_reads_from(graph):
    assert find(graph, "tell").after == ("exit-handler-1",)
    assert find(graph, "for-loop").after == ("load",)
    assert find(graph, "condition").after == ("load",)
    assert find(graph, "load").after == ()


def test_the_number_of_an_iteration_is_no_part_of_a_tasks_name():
    assert [base(name) for name in ("a", "a[2]", "a[2][0]", "a[2]b")] == ["a", "a", "a", "a[2]b"]


def test_a_picture_names_every_task_and_its_state_in_words_and_colour(graph):
    states = {"load": {"SUCCEEDED": 1}, "train": {"SUCCEEDED": 1, "FAILED": 1}}
    picture = svg("my job", graph, states)
    told = words(picture)
    assert {"my job", "load", "train", "inner.train", "tell", "succeeded", "pending"} <= set(told)
    assert told[told.index("train") + 1] == "\N{MULTIPLICATION SIGN}2: 1 failed, 1 succeeded"
    fills = {node.get("fill") for node in ElementTree.fromstring(picture).iter(f"{SVG}rect")}
    assert {"#cdeccf", "#f8c9c4"} <= fills


def test_a_task_stands_below_those_it_waits_for():
    picture = svg("t", (Box("last", ("first",)), Box("first", ())), {})
    told = words(picture)
    assert told.index("first") < told.index("last")
    assert picture.count("<path") == 1


def test_every_text_is_escaped_and_what_xml_cannot_say_is_replaced():
    name = "</text><script>alert('&')</script>\x00\x1b\ud800"
    picture = svg(name, (Box(name, ()),), {})
    assert "<script>" not in picture
    assert "script>alert" in "".join(words(picture))
    picture.encode()


def test_many_tasks_side_by_side_stand_in_rows():
    picture = svg("t", [Box(f"task-{number}", ()) for number in range(100)], {})
    assert float(ElementTree.fromstring(picture).get("width")) < 2000


def test_tasks_that_wait_for_one_another_are_drawn_all_the_same():
    assert {"a", "b"} <= set(words(svg("t", (Box("a", ("b",)), Box("b", ("a",))), {})))


def test_an_empty_pipeline_has_a_picture():
    assert words(svg("empty", (), {})) == ["empty"]
