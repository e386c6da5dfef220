"""`OneOf`: the output of the branch that ran, whichever it was."""

from kfp import dsl
from kfp.dsl import Dataset
from tests.stories.pipelines.case import case, made, saw
from tests.stories.pipelines.cases.parts import (
    double,
    echo,
    see,
    see_data,
    see_int,
    several,
    write,
    write_int,
)

ROW = "OneOf"


@case(
    saw("double", n=3),
    saw("see_int", n=6),
    name="one_of_parameters_if",
    arguments={"n": 3},
    row=ROW,
)
@case(
    saw("see_int", n=-1),
    saw("see_int", n=-1),
    name="one_of_parameters_else",
    arguments={"n": -1},
    row=ROW,
)
@dsl.pipeline
def one_of_parameters(n: int):
    with dsl.If(n > 0):
        one = double(n=n)
    with dsl.Else():
        other = see_int(n=n)
    see_int(n=dsl.OneOf(one.output, other.output))


@case(
    saw("echo", x="a"),
    name="one_of_as_an_output_if",
    arguments={"n": 1},
    row=ROW,
    outputs={"Output": "a"},
)
@case(
    saw("echo", x="b"),
    name="one_of_as_an_output_elif",
    arguments={"n": 2},
    row=ROW,
    outputs={"Output": "b"},
)
@case(
    saw("several", n=3),
    name="one_of_as_an_output_else",
    arguments={"n": 3},
    row=ROW,
    outputs={"Output": "xxx"},
)
@dsl.pipeline
def one_of_as_an_output(n: int) -> str:
    with dsl.If(n == 1):
        one = echo(x="a")
    with dsl.Elif(n == 2):
        two = echo(x="b")
    with dsl.Else():
        three = several(n=n)
    return dsl.OneOf(one.output, two.output, three.outputs["word"])


@case(
    saw("write", text="yes"),
    saw("see_data", data=made("Dataset", "yes")),
    name="one_of_artifacts_if",
    arguments={"n": 1},
    row=ROW,
    kfp_local="fails",
)
@case(
    saw("write_int", n=0),
    saw("see_data", data=made("Dataset", "number 0", n=0)),
    name="one_of_artifacts_else",
    arguments={"n": 0},
    row=ROW,
    kfp_local="fails",
)
@dsl.pipeline
def one_of_artifacts(n: int):
    with dsl.If(n == 1):
        one = write(text="yes")
    with dsl.Else():
        other = write_int(n=n)
    see_data(data=dsl.OneOf(one.outputs["data"], other.outputs["data"]))


@dsl.pipeline
def pick(n: int) -> Dataset:
    with dsl.If(n == 1):
        one = write(text="one")
    with dsl.Elif(n == 2):
        two = write(text="two")
    with dsl.Else():
        more = write(text="more")
    return dsl.OneOf(one.outputs["data"], two.outputs["data"], more.outputs["data"])


@case(
    saw("write", text="two"),
    saw("see_data", data=made("Dataset", "two")),
    row=ROW,
    outputs={"Output": made("Dataset", "two")},
    kfp_local="fails",
)
@dsl.pipeline
def one_of_artifacts_out_of_a_nested_pipeline() -> Dataset:
    picked = pick(n=2)
    see_data(data=picked.output)
    return picked.output


@case(
    saw("see", x="inside"),
    saw("echo", x="both"),
    saw("see", x="both"),
    arguments={"n": 12},
    row=ROW,
)
@dsl.pipeline
def one_of_within_a_condition(n: int):
    with dsl.If(n > 0):
        with dsl.If(n > 10):
            one = echo(x="both")
        with dsl.Else():
            other = echo(x="one")
        see(x=dsl.OneOf(one.output, other.output))
        see(x="inside")


@dsl.pipeline
def sign(n: int) -> str:
    with dsl.If(n > 0):
        one = echo(x="plus")
    with dsl.Else():
        other = echo(x="minus")
    return dsl.OneOf(one.output, other.output)


@case(
    saw("echo", x="plus"),
    saw("echo", x="minus"),
    saw("see", x="plus"),
    saw("see", x="minus"),
    row=ROW,
)
@dsl.pipeline
def one_of_in_every_iteration():
    with dsl.ParallelFor([1, -1]) as n:
        see(x=sign(n=n).output)


@case(saw("double", n=1), row="injection", outputs={"Output": 2})
@dsl.pipeline
def a_graph_named_like_a_channel() -> int:
    return double(n=1).set_display_name("pipelinechannel--x").output
