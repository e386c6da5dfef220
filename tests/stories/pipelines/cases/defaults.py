# ruff: noqa: UP045  KFP does not know `int | None`
"""Defaults: a component's own are its own business, a graph's are handed on. Optional inputs."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Dataset, Input
from tests.stories.pipelines.case import case, made, saw
from tests.stories.pipelines.cases.parts import note, see_dict, see_int, see_two, step, write

ROW = "defaults"


@step
def with_defaults(n: int = 7, x: str = "own", items: list = [1], d: dict = {}):  # noqa: B006
    note(n=n, x=x, items=items, d=d)


@step
def perhaps(n: Optional[int] = None, x: Optional[str] = None, d: Optional[dict] = None):
    note(n=n, x=x, d=d)


@step
def perhaps_data(data: Optional[Input[Dataset]] = None, n: int = 1):
    note(data=data, n=n)


@step
def raw_input(n: int = 7, x: Optional[str] = None):
    import json
    import sys

    given = json.loads(sys.argv[sys.argv.index("--executor_input") + 1])
    note(names=sorted(given.get("inputs", {}).get("parameterValues", {})))


@case(saw("with_defaults", n=7, x="own", items=[1], d={}), row=ROW, kfp_local="wrong")
@dsl.pipeline
def a_component_falls_back_on_its_own_defaults():
    with_defaults()


@case(saw("with_defaults", n=0, x="", items=[1], d={}), row=ROW, kfp_local="wrong")
@dsl.pipeline
def a_given_value_beats_the_default_even_if_empty():
    with_defaults(n=0, x="")


@case(saw("raw_input", names=[]), row=ROW, kfp_local="wrong")
@dsl.pipeline
def defaults_of_a_component_are_not_handed_over():
    raw_input()


@case(saw("see_two", x="from the pipeline", n=4), row=ROW)
@case(
    saw("see_two", x="given", n=9),
    name="arguments_beat_the_defaults_of_a_pipeline",
    arguments={"x": "given", "n": 9},
    row=ROW,
)
@dsl.pipeline
def defaults_of_a_pipeline_are_handed_on(x: str = "from the pipeline", n: int = 4):
    see_two(x=x, n=n)


@dsl.pipeline
def inner(n: int = 5, d: dict = {"deep": 1}):  # noqa: B006
    see_int(n=n)
    see_dict(d=d)


@case(saw("see_int", n=5), saw("see_dict", d={"deep": 1}), row=ROW, kfp_local="wrong")
@dsl.pipeline
def defaults_of_a_nested_pipeline_are_handed_on():
    inner()


@case(saw("see_int", n=2), saw("see_dict", d={"deep": 1}), row=ROW, kfp_local="wrong")
@dsl.pipeline
def some_defaults_of_a_nested_pipeline_are_overridden():
    inner(n=2)


@case(row=ROW, state="REFUSED")
@dsl.pipeline
def a_missing_argument_is_refused(n: int):
    see_int(n=n)


@case(row=ROW, arguments={"n": 1, "m": 2}, state="REFUSED")
@dsl.pipeline
def an_unknown_argument_is_refused(n: int):
    see_int(n=n)


@case(saw("perhaps", n=None, x=None, d=None), row="optional inputs", kfp_local="fails")
@dsl.pipeline
def optional_inputs_left_out():
    perhaps()


@case(saw("perhaps", n=3, x="there", d={"a": 1}), row="optional inputs", kfp_local="wrong")
@dsl.pipeline
def optional_inputs_given():
    perhaps(n=3, x="there", d={"a": 1})


@case(saw("perhaps", n=None, x=None, d=None), row="optional inputs", kfp_local="fails")
@case(
    saw("perhaps", n=4, x=None, d=None),
    name="an_optional_parameter_of_the_pipeline_given",
    arguments={"n": 4},
    row="optional inputs",
    kfp_local="fails",
)
@dsl.pipeline
def optional_parameters_of_the_pipeline_left_out(
    n: Optional[int] = None, x: Optional[str] = None, d: Optional[dict] = None
):
    perhaps(n=n, x=x, d=d)


@case(saw("with_defaults", n=7, x="own", items=[1], d={}), row="optional inputs", kfp_local="fails")
@dsl.pipeline
def a_parameter_without_a_value_falls_back_on_the_components_default(
    n: Optional[int] = None, x: Optional[str] = None
):
    with_defaults(n=n, x=x)


@dsl.pipeline
def inner_perhaps(n: Optional[int] = None, x: Optional[str] = None):
    perhaps(n=n, x=x)


@case(
    saw("perhaps", n=None, x=None, d=None),
    saw("perhaps", n=1, x=None, d=None),
    row="optional inputs",
    kfp_local="fails",
)
@dsl.pipeline
def optional_inputs_of_a_nested_pipeline():
    inner_perhaps()
    inner_perhaps(n=1)


@case(
    saw("perhaps_data", data=None, n=1),
    saw("write", text="there"),
    saw("perhaps_data", data=made("Dataset", "there"), n=2),
    row="optional inputs",
)
@dsl.pipeline
def an_optional_artifact_given_and_left_out():
    perhaps_data()
    perhaps_data(data=write(text="there").outputs["data"], n=2)


@dsl.pipeline
def inner_data(data: Optional[Input[Dataset]] = None):
    perhaps_data(data=data)


@case(
    saw("perhaps_data", data=None, n=1),
    saw("write", text="there"),
    saw("perhaps_data", data=made("Dataset", "there"), n=1),
    row="optional inputs",
    kfp_local="fails",
)
@dsl.pipeline
def an_optional_artifact_of_a_nested_pipeline():
    inner_data()
    inner_data(data=write(text="there").outputs["data"])
