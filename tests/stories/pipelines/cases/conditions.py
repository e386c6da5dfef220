"""Conditions: operators, types, branches, and values that try to become part of one."""

from typing import NamedTuple

from kfp import dsl
from tests.stories.pipelines.case import case, saw
from tests.stories.pipelines.cases.parts import (
    double,
    echo,
    note,
    see,
    see_int,
    see_two,
    several,
    step,
)

ROW = "conditions"


@step
def measure(n: int) -> NamedTuple("Measured", [("score", float), ("good", bool), ("size", int)]):  # type: ignore[valid-type]
    note(n=n)
    return n / 4, n > 2, n * 10


def branch(name: str, condition: object) -> None:
    """A condition, and within it a component that tells which."""
    with dsl.If(condition):
        see(x=name)


@case(
    *(saw("see", x=name) for name in ("<", "<=", "!=")),
    name="operators_with_integers_below",
    arguments={"n": 4},
    row=ROW,
)
@case(
    *(saw("see", x=name) for name in ("==", "<=", ">=")),
    name="operators_with_integers_equal",
    arguments={"n": 5},
    row=ROW,
)
@case(
    *(saw("see", x=name) for name in (">", ">=", "!=")),
    name="operators_with_integers_above",
    arguments={"n": 10},
    row=ROW,
)
@dsl.pipeline
def operators_with_integers(n: int):
    branch("==", n == 5)
    branch("!=", n != 5)
    branch("<", n < 5)
    branch("<=", n <= 5)
    branch(">", n > 5)
    branch(">=", n >= 5)


@case(
    *(saw("see", x=name) for name in ("==", "<", "<=", ">=")),
    arguments={"f": -0.5},
    row=ROW,
)
@dsl.pipeline
def operators_with_floats(f: float):
    branch("==", f == -0.5)
    branch("!=", f != -0.5)
    branch("<", f < 1e3)
    branch("<=", f <= 0.0)
    branch(">", f > 2.5e-7)
    branch(">=", f >= -1.0)


@case(saw("see", x="=="), saw("see", x="not other"), arguments={"x": "two words"}, row=ROW)
@dsl.pipeline
def operators_with_text(x: str):
    branch("==", x == "two words")
    branch("!=", x != "two words")
    branch("not other", x != "other")
    branch("empty", x == "")


@case(
    saw("see", x="yes"),
    saw("see", x="not no"),
    arguments={"b": True, "c": False},
    row=ROW,
)
@dsl.pipeline
def operators_with_booleans(b: bool, c: bool):
    branch("yes", b == True)  # noqa: E712  KFP builds the condition from this
    branch("not no", c != True)  # noqa: E712
    branch("no", c == True)  # noqa: E712


@case(saw("see", x="bigger"), saw("see", x="same"), arguments={"a": 10, "b": 9}, row=ROW)
@dsl.pipeline
def two_parameters_compared(a: int, b: int, c: str = "x", d: str = "x"):
    branch("bigger", a > b)
    branch("smaller", a < b)
    branch("same", c == d)


@case(saw("double", n=4), saw("see_int", n=8), row=ROW)
@dsl.pipeline
def a_condition_on_an_output():
    made = double(n=4)
    with dsl.If(made.output > 7):
        see_int(n=made.output)
    with dsl.If(made.output > 8):
        see_int(n=0)


@case(
    saw("measure", n=3),
    saw("see", x="score"),
    saw("see", x="good"),
    saw("see", x="size"),
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def conditions_on_named_outputs():
    made = measure(n=3).outputs
    branch("score", made["score"] == 0.75)
    branch("good", made["good"] == True)  # noqa: E712
    branch("size", made["size"] >= 30)
    branch("none", made["size"] < 30)


@case(saw("several", n=2), saw("see", x="word"), saw("see", x="order"), row=ROW, kfp_local="wrong")
@dsl.pipeline
def two_named_outputs_compared():
    made = several(n=2).outputs
    branch("word", made["word"] == "xx")
    branch("order", made["low"] < made["high"])


@case(saw("see", x="small"), name="if", arguments={"n": 1}, row=ROW)
@case(saw("see", x="middle"), name="elif", arguments={"n": 5}, row=ROW)
@case(saw("see", x="large"), name="second_elif", arguments={"n": 50}, row=ROW)
@case(saw("see", x="huge"), name="else", arguments={"n": 500}, row=ROW)
@dsl.pipeline
def chain(n: int):
    with dsl.If(n < 3):
        see(x="small")
    with dsl.Elif(n < 10):
        see(x="middle")
    with dsl.Elif(n < 100):
        see(x="large")
    with dsl.Else():
        see(x="huge")


@case(saw("see", x="outer else"), name="nested_conditions_outer_else", arguments={"n": 0}, row=ROW)
@case(saw("see_two", x="both", n=12), name="nested_conditions_both", arguments={"n": 12}, row=ROW)
@case(saw("see", x="inner else"), name="nested_conditions_inner_else", arguments={"n": 5}, row=ROW)
@dsl.pipeline
def nested_conditions(n: int, high: int = 10):
    with dsl.If(n > 0):
        with dsl.If(n > high):
            see_two(x="both", n=n)
        with dsl.Else():
            see(x="inner else")
    with dsl.Else():
        see(x="outer else")


@case(
    saw("double", n=1),
    saw("double", n=2),
    saw("see_int", n=4),
    row=ROW,
    tasks={"condition-2": "NOT_TRIGGERED", "see": "NOT_TRIGGERED"},
)
@dsl.pipeline
def outputs_from_before_reach_into_a_condition():
    first = double(n=1)
    with dsl.If(first.output == 2):
        see_int(n=double(n=first.output).output)
    with dsl.If(first.output == 3):
        see(x="never")


@dsl.pipeline
def only_if(n: int):
    with dsl.If(n > 100):
        see(x="never")


@case(
    saw("double", n=1),
    saw("see_int", n=0),
    row=ROW,
    tasks={"condition-1": "NOT_TRIGGERED", "only-if": "SUCCEEDED", "see-int": "SUCCEEDED"},
)
@dsl.pipeline
def a_nested_pipeline_in_which_nothing_runs_has_succeeded():
    see_int(n=0).after(only_if(n=double(n=1).output))


INJECTION = "' == '' or True or '"


@case(saw("echo", x=INJECTION), arguments={"x": INJECTION}, row="injection", kfp_local="wrong")
@dsl.pipeline
def a_value_cannot_become_part_of_a_condition(x: str):
    told = echo(x=x)
    branch("broken into", told.output == "secret")


@case(
    saw("see", x="different"),
    arguments={"x": "it's", "y": 'say "it"\n'},
    row="injection",
    kfp_local="wrong",
)
@dsl.pipeline
def a_value_with_quotes_can_be_compared(x: str, y: str):
    branch("same", x == y)
    branch("different", x != y)
