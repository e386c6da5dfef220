"""Values between tasks: whole numbers stay integers, and each input gets what its type takes."""

from typing import NamedTuple

from kfp import dsl
from tests.stories.pipelines.case import case, saw
from tests.stories.pipelines.cases.parts import (
    count,
    double,
    note,
    rows,
    see,
    see_bool,
    see_dict,
    see_float,
    see_int,
    see_list,
    see_two,
    several,
    step,
    words,
)

ROW = "coercion"


class Out(NamedTuple):
    items: list[int]
    low: int
    word: str


DEEP = {"a": 1, "b": [1, 2.5, {"c": 0}], "e": True, "f": "1"}


@case(saw("see_int", n=3), saw("see_int", n=0), saw("see_int", n=-7), row=ROW)
@dsl.pipeline
def integers_as_constants():
    for n in (3, 0, -7):
        see_int(n=n)


@case(saw("see_list", items=[1, [2, 0], 2.5, "3", True]), row=ROW, kfp_local="wrong")
@dsl.pipeline
def integers_in_a_list():
    see_list(items=[1, [2, 0], 2.5, "3", True])


@case(saw("see_dict", d=DEEP), row=ROW, kfp_local="wrong")
@dsl.pipeline
def integers_in_a_dict():
    see_dict(d=DEEP)


@case(
    saw("see_dict", d=DEEP),
    saw("see_list", items=[4, 5]),
    saw("see_int", n=6),
    arguments={"d": DEEP, "items": [4, 5], "n": 6},
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def integers_in_arguments(d: dict, items: list, n: int):
    see_dict(d=d)
    see_list(items=items)
    see_int(n=n)


@case(
    saw("see_dict", d={"k": 2}),
    saw("see_list", items=[1, 0]),
    saw("see_int", n=4),
    saw("see_float", f=0.5),
    saw("see_bool", b=True),
    saw("see", x="y"),
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def integers_in_the_defaults_of_a_pipeline(
    d: dict = {"k": 2},  # noqa: B006  KFP reads it once
    items: list = [1, 0],  # noqa: B006
    n: int = 4,
    f: float = 0.5,
    b: bool = True,
    x: str = "y",
):
    see_dict(d=d)
    see_list(items=items)
    see_int(n=n)
    see_float(f=f)
    see_bool(b=b)
    see(x=x)


@step
def give() -> NamedTuple(  # type: ignore[valid-type]
    "Given", [("n", int), ("f", float), ("b", bool), ("x", str), ("items", list), ("d", dict)]
):
    note()
    return 5, 1.5, False, "5", [1, 2.0, [3]], {"n": 1, "deep": {"n": 2}}


@case(
    saw("give"),
    saw("see_int", n=5),
    saw("see_float", f=1.5),
    saw("see_bool", b=False),
    saw("see", x="5"),
    saw("see_list", items=[1, 2, [3]]),
    saw("see_dict", d={"n": 1, "deep": {"n": 2}}),
    row="outputs",
    kfp_local="wrong",
)
@dsl.pipeline
def outputs_of_every_type_reach_the_next_task():
    given = give().outputs
    see_int(n=given["n"])
    see_float(f=given["f"])
    see_bool(b=given["b"])
    see(x=given["x"])
    see_list(items=given["items"])
    see_dict(d=given["d"])


@case(
    saw("count", n=3),
    saw("several", n=2),
    outputs={"items": [0, 1, 2], "low": 1, "word": "xx"},
    row="outputs",
    kfp_local="wrong",
)
@dsl.pipeline
def outputs_of_the_pipeline() -> Out:
    made = several(n=2)
    return Out(count(n=3).output, made.outputs["low"], made.outputs["word"])


@case(saw("see_float", f=2), saw("see_float", f=-3), row=ROW, kfp_local="wrong")
@dsl.pipeline
def whole_floats_are_handed_over_as_integers():
    see_float(f=2.0)
    see_float(f=-3.0)


@case(
    saw("see", x="1"),
    saw("see", x="2.5"),
    saw("see", x="true"),
    saw("see", x='{"a": 1}'),
    saw("see", x="[1, 2]"),
    saw("see", x="it"),
    arguments={"items": [1, 2.5, True, {"a": 1}, [1, 2], "it"]},
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def text_takes_anything_as_json(items: list):
    with dsl.ParallelFor(items) as item:
        see(x=item)


@case(
    saw("double", n=1),
    saw("see", x='n=3 f=0.5 b=true items=[1, 2] d={"a": 1} made=2'),
    row=ROW,
    arguments={"n": 3, "f": 0.5, "b": True, "items": [1, 2], "d": {"a": 1}},
    kfp_local="wrong",
)
@dsl.pipeline
def values_within_a_text(n: int, f: float, b: bool, items: list, d: dict):
    see(x=f"n={n} f={f} b={b} items={items} d={d} made={double(n=1).output}")


@case(
    saw("see_dict", d={"n": 3, "inner": {"items": [3, "is 3"]}}),
    row=ROW,
    arguments={"n": 3},
    kfp_local="wrong",
)
@dsl.pipeline
def a_parameter_within_a_dict(n: int):
    see_dict(d={"n": n, "inner": {"items": [n, f"is {n}"]}})


@case(
    saw("rows", n=2),
    saw("see_list", items=[{"a": 0, "b": 0}, {"a": 1, "b": 1}]),
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def integers_in_a_list_of_dicts_from_a_task():
    see_list(items=rows(n=2).output)


@case(
    saw("see", x=""),
    saw("see_int", n=0),
    saw("see_bool", b=False),
    saw("see_list", items=[]),
    saw("see_dict", d={}),
    saw("see_float", f=0),
    arguments={"x": "", "n": 0, "b": False, "items": [], "d": {}},
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def empty_values_are_values(x: str, n: int, b: bool, items: list, d: dict):
    see(x=x)
    see_int(n=n)
    see_bool(b=b)
    see_list(items=items)
    see_dict(d=d)
    see_float(f=0.0)


@case(
    saw("words", text="ü 漢字 🙂"),
    saw("see_list", items=["ü", "漢字", "🙂"]),
    row=ROW,
)
@dsl.pipeline
def text_beyond_ascii():
    see_list(items=words(text="ü 漢字 🙂").output)


@case(saw("see_two", x="1", n=1), saw("see_two", x="null", n=2), row=ROW)
@dsl.pipeline
def text_that_looks_like_json_stays_text():
    see_two(x="1", n=1)
    see_two(x="null", n=2)


@case(row=ROW, arguments={"n": "three"}, state="REFUSED")
@dsl.pipeline
def a_text_for_an_integer_is_refused(n: int):
    see_int(n=n)


@case(row=ROW, arguments={"n": 2.5}, state="REFUSED")
@dsl.pipeline
def a_fraction_for_an_integer_is_refused(n: int):
    see_int(n=n)


@case(row=ROW, arguments={"items": ["a"]}, state="FAILED", kfp_local="right")
@dsl.pipeline
def a_text_item_for_an_integer_fails_the_task(items: list[int]):
    with dsl.ParallelFor(items) as item:
        see_int(n=item)


@step
def lie() -> int:
    note()
    return "three"


@case(saw("lie"), row=ROW, state="FAILED", kfp_local="right")
@dsl.pipeline
def a_component_that_returns_another_type_fails():
    see_int(n=lie().output)
