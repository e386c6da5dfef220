"""Artifacts in places of their own, metrics and reports, artifacts given from outside."""

from pathlib import Path

from kfp import dsl
from kfp.dsl import HTML, ClassificationMetrics, Dataset, Input, Markdown, Metrics, Output
from tests.stories.pipelines.case import case, made, saw
from tests.stories.pipelines.cases.parts import note, see_data, step


@step
def by_get_uri() -> Dataset:
    import pathlib

    note()
    uri = dsl.get_uri(suffix="mine.txt")
    pathlib.Path(uri).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(uri).write_text("by get_uri")
    return Dataset(uri=uri, metadata={"n": 1})


@case(
    saw("by_get_uri"),
    saw("see_data", data=made("Dataset", "by get_uri", n=1)),
    row="custom paths",
    kfp_local="wrong",
)
@dsl.pipeline
def an_artifact_at_get_uri():
    see_data(data=by_get_uri().output)


@step
def by_custom_path(folder: str, data: Output[Dataset]):
    import pathlib

    note()
    place = pathlib.Path(folder, "local.txt")
    place.write_text("by custom path")
    data.custom_path = str(place)


@step
def see_where(data: Input[Dataset]):
    note(data=data, name=data.uri.rsplit("/", 1)[-1])


@case(
    saw("by_custom_path"),
    saw("see_where", data=made("Dataset", "by custom path"), name="data"),
    arguments={"folder": "<folder>"},
    row="custom paths",
    kfp_local="wrong",
)
@dsl.pipeline
def what_is_at_a_custom_path_comes_to_the_uri(folder: str):
    see_where(data=by_custom_path(folder=folder).outputs["data"])


@step
def score(metrics: Output[Metrics], curve: Output[ClassificationMetrics]):
    note()
    metrics.log_metric("accuracy", 0.9)
    metrics.log_metric("rows", 10)
    curve.log_confusion_matrix(["cat", "dog"], [[5, 1], [0, 4]])


@step
def see_metrics(metrics: Input[Metrics], curve: Input[ClassificationMetrics]):
    note(metrics=metrics, matrix=curve.metadata["confusionMatrix"]["rows"])


@case(
    saw("score"),
    saw(
        "see_metrics",
        metrics=made("Metrics", None, accuracy=0.9, rows=10),
        matrix=[{"row": [5, 1]}, {"row": [0, 4]}],
    ),
    row="metrics",
    kfp_local="wrong",
)
@dsl.pipeline
def metrics_reach_the_next_task():
    made = score().outputs
    see_metrics(metrics=made["metrics"], curve=made["curve"])


@step
def report(page: Output[HTML], note_: Output[Markdown]):
    note()
    for artifact, text in ((page, "<b>fine</b>"), (note_, "**fine**")):
        with open(artifact.path, "w") as file:  # noqa: PTH123
            file.write(text)


@step
def see_report(page: Input[HTML], text: Input[Markdown]):
    note(page=page, text=text)


@case(
    saw("report"),
    saw("see_report", page=made("HTML", "<b>fine</b>"), text=made("Markdown", "**fine**")),
    row="metrics",
)
@dsl.pipeline
def html_and_markdown():
    made = report().outputs
    see_report(page=made["page"], text=made["note_"])


@case(
    saw("see_data", data=made("Dataset", "from outside")),
    artifacts={"data": "from outside"},
    row="root artifacts",
    kfp_local="fails",
)
@dsl.pipeline
def an_artifact_is_given_to_the_pipeline(data: Input[Dataset]):
    see_data(data=data)


@step
def see_two_kinds(data: Input[Dataset], n: int):
    note(data=data, n=n)


@case(
    saw("see_two_kinds", data=made("Dataset", "from outside"), n=3),
    artifacts={"data": "from outside"},
    arguments={"n": 3},
    row="root artifacts",
    kfp_local="fails",
)
@dsl.pipeline
def an_artifact_and_a_parameter_are_given(n: int, data: Input[Dataset]):
    see_two_kinds(data=data, n=n)


@case(row="root artifacts", state="REFUSED")
@dsl.pipeline
def an_artifact_that_is_not_given_is_refused(data: Input[Dataset]):
    see_data(data=data)


EMBEDDED = Path(__file__).with_name("embedded")


@step(embedded_artifact_path=str(EMBEDDED))
def with_folder(files: dsl.EmbeddedInput[Dataset], n: int):
    import pathlib

    from shouting import shout

    note(text=shout(pathlib.Path(files.path, "words.txt").read_text()), n=n)


@step(embedded_artifact_path=str(EMBEDDED / "words.txt"))
def with_file(file: dsl.EmbeddedInput[Dataset]):
    note(file=file)


@case(
    saw("with_folder", text="TOLD IN A FILE!", n=1),
    saw("with_file", file=made("Dataset", "told in a file")),
    row="embedded files",
)
@dsl.pipeline
def files_within_a_component():
    with_folder(n=1)
    with_file()
