"""Artifacts: content and metadata between tasks, every type, and places of one's own."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import (
    Artifact,
    Dataset,
    Input,
    InputPath,
    Model,
    Output,
    OutputPath,
)
from tests.stories.pipelines.case import case, made, saw
from tests.stories.pipelines.cases.parts import (
    note,
    see_data,
    see_int,
    step,
    train,
    write,
)

ROW = "artifacts"


@case(
    saw("write", text="rows"),
    saw("train", data=made("Dataset", "rows"), rate=0.1),
    row=ROW,
    outputs={"Output": made("Model", "fitted on rows", rate=0.1)},
)
@dsl.pipeline
def a_dataset_becomes_a_model() -> Model:
    return train(data=write(text="rows").outputs["data"], rate=0.1).outputs["model"]


@step
def tell(deep: dict, data: Output[Dataset]):
    note(deep=deep)
    data.metadata.update(deep)


DEEP = {"n": 1, "f": 0.5, "x": "t", "b": True, "items": [1, {"n": 2}]}


@case(
    saw("tell", deep=DEEP),
    saw("see_data", data=made("Dataset", None, **DEEP)),
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def metadata_keeps_its_types():
    see_data(data=tell(deep=DEEP).outputs["data"])


@step
def write_return(text: str) -> Dataset:
    note(text=text)
    return text


@case(saw("write_return", text="told"), saw("see_data", data=made("Dataset", "told")), row=ROW)
@dsl.pipeline
def an_artifact_is_returned():
    see_data(data=write_return(text="told").output)


@step
def both(n: int) -> NamedTuple("Both", [("size", int), ("data", Dataset)]):  # type: ignore[valid-type]
    note(n=n)
    return n, "x" * n


@case(saw("both", n=3), saw("see_int", n=3), saw("see_data", data=made("Dataset", "xxx")), row=ROW)
@dsl.pipeline
def an_artifact_is_returned_with_a_parameter():
    made = both(n=3).outputs
    see_int(n=made["size"])
    see_data(data=made["data"])


@step
def write_paths(text: str, data: OutputPath("Dataset"), size: OutputPath(int)):  # type: ignore[valid-type]
    note(text=text)
    with open(data, "w") as file:  # noqa: PTH123
        file.write(text)
    with open(size, "w") as file:  # noqa: PTH123
        file.write(str(len(text)))


@step
def read_path(data: InputPath("Dataset")) -> int:  # type: ignore[valid-type]
    with open(data) as file:  # noqa: PTH123
        note(text=file.read())
    return 1


@case(
    saw("write_paths", text="by path"),
    saw("read_path", text="by path"),
    saw("see_int", n=7),
    row="outputs",
)
@dsl.pipeline
def paths_instead_of_objects():
    made = write_paths(text="by path").outputs
    read_path(data=made["data"])
    see_int(n=made["size"])


@step
def write_json(items: OutputPath(list), d: OutputPath(dict), b: OutputPath(bool)):  # type: ignore[valid-type]
    import json

    note()
    for path, value in ((items, [1, "2"]), (d, {"n": 3}), (b, False)):
        with open(path, "w") as file:  # noqa: PTH123
            json.dump(value, file)


@step
def see_json(items: list, d: dict, b: bool):
    note(items=items, d=d, b=b)


@case(
    saw("write_json"),
    saw("see_json", items=[1, "2"], d={"n": 3}, b=False),
    row="outputs",
    kfp_local="wrong",
)
@dsl.pipeline
def parameters_written_to_paths_have_types():
    made = write_json().outputs
    see_json(items=made["items"], d=made["d"], b=made["b"])


@step
def folder_of(names: list, data: Output[Artifact]):
    import pathlib

    note(names=names)
    pathlib.Path(data.path).mkdir(parents=True)
    for name in names:
        pathlib.Path(data.path, name).write_text(name)


@step
def see_folder(data: Input[Artifact]):
    import pathlib

    note(names=sorted(path.name for path in pathlib.Path(data.path).iterdir()))


@case(saw("folder_of", names=["b", "a"]), saw("see_folder", names=["a", "b"]), row=ROW)
@dsl.pipeline
def an_artifact_may_be_a_folder():
    see_folder(data=folder_of(names=["b", "a"]).outputs["data"])


@step
def elsewhere(folder: str, data: Output[Dataset]):
    import pathlib

    note()
    data.uri = f"{folder}/mine.txt"
    pathlib.Path(data.uri).write_text("in a place of its own")


@case(
    saw("elsewhere"),
    saw("see_data", data=made("Dataset", "in a place of its own")),
    arguments={"folder": "<folder>"},
    row=ROW,
)
@dsl.pipeline
def a_component_chooses_where_its_artifact_is(folder: str):
    see_data(data=elsewhere(folder=folder).outputs["data"])
