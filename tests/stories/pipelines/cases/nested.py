# ruff: noqa: UP045  KFP does not know `int | None`
"""Nested pipelines, and importers."""

from typing import NamedTuple, Optional

from kfp import dsl
from kfp.dsl import Dataset, Input, Model
from tests.stories.pipelines.case import Like, case, made, saw
from tests.stories.pipelines.cases.parts import (
    double,
    echo,
    note,
    see,
    see_data,
    see_int,
    several,
    step,
    train,
    write,
)

ROW = "nested pipelines"


class Ends(NamedTuple):
    low: int
    word: str
    data: Dataset


@dsl.pipeline
def twice_double(n: int = 1) -> int:
    return double(n=double(n=n).output).output


@case(saw("double", n=3), saw("double", n=6), saw("see_int", n=12), row=ROW, outputs={"Output": 12})
@dsl.pipeline
def a_nested_pipeline_takes_and_gives() -> int:
    inner = twice_double(n=3)
    see_int(n=inner.output)
    return inner.output


@case(
    *(saw("double", n=n) for n in (1, 2, 4, 8)),
    row=ROW,
    outputs={"Output": 16},
)
@dsl.pipeline
def one_pipeline_nested_twice() -> int:
    return twice_double(n=twice_double().output).output


@dsl.pipeline
def ends(n: int) -> Ends:
    made = several(n=n)
    return Ends(made.outputs["low"], made.outputs["word"], write(text="kept").outputs["data"])


@case(
    saw("several", n=2),
    saw("write", text="kept"),
    saw("see_int", n=1),
    saw("see", x="xx"),
    saw("see_data", data=made("Dataset", "kept")),
    row=ROW,
)
@dsl.pipeline
def a_nested_pipeline_gives_several_things():
    inner = ends(n=2)
    see_int(n=inner.outputs["low"])
    see(x=inner.outputs["word"])
    see_data(data=inner.outputs["data"])


@dsl.pipeline
def fit(data: Input[Dataset], rate: float = 0.5) -> Model:
    see_data(data=data)
    return train(data=data, rate=rate).outputs["model"]


@step
def see_model(model: Input[Model]):
    note(model=model)


@case(
    saw("write", text="rows"),
    saw("see_data", data=made("Dataset", "rows")),
    saw("train", data=made("Dataset", "rows"), rate=0.5),
    saw("see_model", model=made("Model", "fitted on rows", rate=0.5)),
    row=ROW,
    outputs={"Output": made("Model", "fitted on rows", rate=0.5)},
    kfp_local="fails",
)
@dsl.pipeline
def artifacts_go_into_a_nested_pipeline_and_come_out() -> Model:
    fitted = fit(data=write(text="rows").outputs["data"])
    see_model(model=fitted.output)
    return fitted.output


@dsl.pipeline
def outer(n: int) -> int:
    return twice_double(n=twice_double(n=n).output).output


@case(*(saw("double", n=n) for n in (1, 2, 4, 8)), row=ROW, outputs={"Output": 16})
@dsl.pipeline
def three_levels() -> int:
    return outer(n=1).output


@dsl.pipeline
def choose(n: int, word: Optional[str] = None):
    with dsl.If(n > 1):
        see_int(n=n)
    with dsl.Else():
        see(x=f"{n} is small")


@case(
    saw("see_int", n=2),
    saw("see", x="1 is small"),
    saw("see", x="0 is small"),
    row=ROW,
    kfp_local="fails",
)
@dsl.pipeline
def nested_pipelines_with_conditions_within_a_loop():
    with dsl.ParallelFor([0, 1, 2]) as item:
        choose(n=item)


# --- importers ---------------------------------------------------------------------------------

IMPORT = "importer"
FILES = {"there.txt": "was there"}
WHERE = "<folder>/there.txt"


@case(
    saw("see_data", data=made("Dataset", "was there")),
    files=FILES,
    arguments={"uri": WHERE},
    row=IMPORT,
)
@dsl.pipeline
def an_imported_artifact_from_a_parameter(uri: str):
    found = dsl.importer(artifact_uri=uri, artifact_class=Dataset)
    see_data(data=found.output)


@case(
    saw("see_data", data=made("Dataset", "was there", n=1, deep={"items": [1, 2]}, x="t", b=True)),
    files=FILES,
    arguments={"uri": WHERE},
    row=IMPORT,
    kfp_local="wrong",
)
@dsl.pipeline
def an_imported_artifact_with_metadata(uri: str):
    metadata = {"n": 1, "deep": {"items": [1, 2]}, "x": "t", "b": True}
    found = dsl.importer(artifact_uri=uri, artifact_class=Dataset, metadata=metadata)
    see_data(data=found.output)


@case(
    saw("double", n=2),
    saw("see_data", data=made("Dataset", "was there", n=4, x="is 4 for me", me="own")),
    files=FILES,
    arguments={"uri": WHERE, "who": "me"},
    row=IMPORT,
    kfp_local="wrong",
)
@dsl.pipeline
def an_imported_artifact_with_values_in_its_metadata(uri: str, who: str):
    n = double(n=2).output
    metadata = {"n": n, "x": f"is {n} for {who}", who: "own"}
    found = dsl.importer(artifact_uri=uri, artifact_class=Dataset, metadata=metadata)
    see_data(data=found.output)


@step
def see_two_data(one: Input[Dataset], two: Input[Dataset]):
    note(same=one.uri == two.uri, data=two)


@case(
    saw("see_two_data", same=True, data=made("Dataset", "was there")),
    files=FILES,
    arguments={"uri": WHERE},
    row=IMPORT,
)
@dsl.pipeline
def the_same_artifact_imported_twice(uri: str):
    first = dsl.importer(artifact_uri=uri, artifact_class=Dataset, reimport=False)
    again = dsl.importer(artifact_uri=uri, artifact_class=Dataset, reimport=True)
    see_two_data(one=first.output, two=again.output)


@case(
    saw("echo", x=Like(".*/there.txt")),
    saw("see_model", model=made("Model", "was there")),
    files=FILES,
    arguments={"uri": WHERE},
    row=IMPORT,
)
@dsl.pipeline
def an_imported_artifact_from_an_output(uri: str):
    found = dsl.importer(artifact_uri=echo(x=uri).output, artifact_class=Model)
    see_model(model=found.output)


@case(
    *(saw("see_data", data=made("Dataset", text)) for text in "ab"),
    files={"a.txt": "a", "b.txt": "b"},
    arguments={"folder": "<folder>"},
    row=IMPORT,
    kfp_local="wrong",
)
@dsl.pipeline
def an_artifact_imported_in_every_iteration(folder: str):
    with dsl.ParallelFor(["a", "b"]) as item:
        found = dsl.importer(artifact_uri=f"{folder}/{item}.txt", artifact_class=Dataset)
        see_data(data=found.output)
