"""Loops over everything that a loop can go over, and what reaches into them."""

from kfp import dsl
from tests.stories.pipelines.case import case, saw
from tests.stories.pipelines.cases.parts import (
    count,
    double,
    echo,
    rows,
    see,
    see_dict,
    see_float,
    see_int,
    see_ints,
    see_list,
    words,
)

ROW = "loops"
RECORDS = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


@case(*(saw("see_int", n=n) for n in (1, 2, 3)), row=ROW)
@dsl.pipeline
def a_loop_over_integers():
    with dsl.ParallelFor([1, 2, 3]) as item:
        see_int(n=item)


@case(*(saw("see", x=x) for x in ("a", "two words", "")), row=ROW)
@dsl.pipeline
def a_loop_over_texts():
    with dsl.ParallelFor(["a", "two words", ""]) as item:
        see(x=item)


@case(saw("see_float", f=0.5), saw("see_float", f=-2.25), row=ROW)
@dsl.pipeline
def a_loop_over_floats():
    with dsl.ParallelFor([0.5, -2.25]) as item:
        see_float(f=item)


@case(*(saw("see", x=x) for x in ("1", "true", "{}", "null", '"q"')), row=ROW)
@dsl.pipeline
def a_loop_over_texts_that_look_like_json():
    with dsl.ParallelFor(["1", "true", "{}", "null", '"q"']) as item:
        see(x=item)


@case(saw("see_ints", a=1, b=10), saw("see_ints", a=2, b=20), row=ROW)
@dsl.pipeline
def a_loop_over_dicts_and_their_values():
    with dsl.ParallelFor([{"a": 1, "b": 10}, {"a": 2, "b": 20}]) as item:
        see_ints(a=item.a, b=item.b)


@case(
    *(saw("see", x=x) for x in ("1", "x", "[2]", '{"c": 3}')),
    arguments={"items": [{"a": 1, "b": "x"}, {"a": [2], "b": {"c": 3}}]},
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def values_of_any_type_within_an_item(items: list):
    with dsl.ParallelFor(items) as item:
        see(x=item.a)
        see(x=item.b)


@case(*(saw("see_dict", d=record) for record in RECORDS), row=ROW, kfp_local="wrong")
@dsl.pipeline
def a_loop_over_whole_dicts():
    with dsl.ParallelFor(RECORDS) as item:
        see_dict(d=item)


@case(saw("see_int", n=5), saw("see_int", n=0), arguments={"items": [5, 0]}, row=ROW)
@dsl.pipeline
def a_loop_over_a_parameter(items: list[int]):
    with dsl.ParallelFor(items) as item:
        see_int(n=item)


@case(
    saw("see_ints", a=1, b=2),
    saw("see_ints", a=3, b=4),
    arguments={"items": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]},
    row=ROW,
)
@dsl.pipeline
def a_loop_over_a_parameter_of_dicts(items: list[dict[str, int]]):
    with dsl.ParallelFor(items) as item:
        see_ints(a=item.a, b=item.b)


@case(saw("count", n=3), *(saw("see_int", n=n) for n in range(3)), row=ROW)
@dsl.pipeline
def a_loop_over_an_output():
    with dsl.ParallelFor(count(n=3).output) as item:
        see_int(n=item)


@case(saw("rows", n=2), saw("see_ints", a=0, b=0), saw("see_ints", a=1, b=1), row=ROW)
@dsl.pipeline
def a_loop_over_an_output_of_dicts():
    with dsl.ParallelFor(rows(n=2).output) as item:
        see_ints(a=item.a, b=item.b)


@case(saw("double", n=1), saw("see_int", n=9), saw("see_int", n=9), row=ROW, arguments={"n": 9})
@dsl.pipeline
def a_parameter_from_outside_reaches_into_a_loop(n: int):
    with dsl.ParallelFor(["a", "b"]):
        see_int(n=n)
    double(n=1)


@case(
    saw("double", n=21), *(saw("see_ints", a=42, b=n) for n in (1, 2)), row=ROW, kfp_local="wrong"
)
@dsl.pipeline
def an_output_from_outside_reaches_into_a_loop():
    outside = double(n=21)
    with dsl.ParallelFor([1, 2]) as item:
        see_ints(a=outside.output, b=item)


@case(
    saw("echo", x="one"),
    saw("words", text="u v"),
    saw("see", x="one u"),
    saw("see", x="one v"),
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def an_output_from_outside_in_a_text_within_a_loop():
    outside = echo(x="one")
    with dsl.ParallelFor(words(text="u v").output) as item:
        see(x=f"{outside.output} {item}")


@case(
    *(saw("see_ints", a=a, b=b) for a in (1, 2) for b in (10, 20)),
    row=ROW,
)
@dsl.pipeline
def a_loop_within_a_loop():
    with dsl.ParallelFor([1, 2]) as outer, dsl.ParallelFor([10, 20]) as inner:
        see_ints(a=outer, b=inner)


@case(
    saw("double", n=1),
    saw("double", n=2),
    *(saw("see_ints", a=a, b=b) for a in (2, 4) for b in (1, 2)),
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def an_output_of_the_outer_loop_reaches_into_the_inner_loop():
    with dsl.ParallelFor([1, 2]) as outer:
        twice = double(n=outer)
        with dsl.ParallelFor([1, 2]) as inner:
            see_ints(a=twice.output, b=inner)


@case(
    *(saw("count", n=n) for n in (1, 2)),
    *(saw("see_ints", a=a, b=b) for a, b in ((1, 0), (2, 0), (2, 1))),
    row=ROW,
)
@dsl.pipeline
def a_loop_over_what_the_outer_loop_made():
    with dsl.ParallelFor([1, 2]) as outer, dsl.ParallelFor(count(n=outer).output) as inner:
        see_ints(a=outer, b=inner)


@case(
    *(saw("see_int", n=n) for n in (1, 2, 3)),
    *(saw("see_list", items=more) for more in ([7], [7], [])),
    arguments={"groups": [{"ns": [1, 2], "more": [7]}, {"ns": [3], "more": []}]},
    row=ROW,
    kfp_local="fails",
)
@dsl.pipeline
def a_loop_over_a_list_within_an_item(groups: list[dict[str, list[int]]]):
    with dsl.ParallelFor(groups) as group, dsl.ParallelFor(group.ns) as n:
        see_int(n=n)
        see_list(items=group.more)


@case(
    saw("see_int", n=2),
    saw("see", x="small"),
    saw("see", x="small"),
    row=ROW,
)
@dsl.pipeline
def a_condition_within_a_loop():
    with dsl.ParallelFor([0, 1, 2]) as item:
        with dsl.If(item > 1):
            see_int(n=item)
        with dsl.Else():
            see(x="small")


@case(
    saw("see_int", n=1),
    saw("see_int", n=2),
    name="a_loop_within_a_condition_that_holds",
    arguments={"b": True},
    row=ROW,
)
@case(
    name="a_loop_within_a_condition_that_does_not_hold",
    arguments={"b": False},
    row=ROW,
)
@dsl.pipeline
def a_loop_within_a_condition(b: bool):
    with dsl.If(b == True), dsl.ParallelFor([1, 2]) as item:  # noqa: E712
        see_int(n=item)


@case(saw("see", x="after"), arguments={"items": []}, row=ROW)
@dsl.pipeline
def an_empty_loop_over_a_parameter(items: list[int]):
    with dsl.ParallelFor(items) as item:
        inner = see_int(n=item)
    see(x="after").after(inner)


@case(saw("count", n=0), saw("see", x="after"), row=ROW)
@dsl.pipeline
def an_empty_loop_over_an_output():
    with dsl.ParallelFor(count(n=0).output) as item:
        inner = see_int(n=item)
    see(x="after").after(inner)


@case(
    *(saw("see_int", n=n) for n in (0, 1, 2)),
    row=ROW,
    tasks={"see-int[0]": "SUCCEEDED", "see-int[2]": "SUCCEEDED"},
)
@dsl.pipeline
def every_iteration_is_a_task_of_its_own():
    with dsl.ParallelFor([0, 1, 2]) as item:
        see_int(n=item)


@case(*(saw("see_int", n=n) for n in range(12)), row=ROW)
@dsl.pipeline
def a_wide_loop():
    with dsl.ParallelFor(list(range(12))) as item:
        see_int(n=item)
