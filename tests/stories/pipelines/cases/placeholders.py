"""Placeholders, the workspace, variables, files in a component, and values that look like code."""

from kfp import dsl
from kfp.dsl import Dataset
from tests.stories.pipelines.case import Like, case, made, saw
from tests.stories.pipelines.cases.parts import (
    echo,
    note,
    see,
    see_data,
    see_dict,
    see_int,
    see_list,
    step,
    write,
)

ROW = "placeholders"
SOME = Like(r"[^{}$]+")
MOMENT = Like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*Z")


@case(*[saw("see", x=SOME)] * 6, row=ROW, kfp_local="fails")
@dsl.pipeline
def placeholders_alone():
    see(x=dsl.PIPELINE_JOB_NAME_PLACEHOLDER)
    see(x=dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER)
    see(x=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    see(x=dsl.PIPELINE_TASK_NAME_PLACEHOLDER)
    see(x=dsl.PIPELINE_TASK_ID_PLACEHOLDER)
    see(x=dsl.PIPELINE_ROOT_PLACEHOLDER)


@case(*[saw("see", x=MOMENT)] * 2, row=ROW, kfp_local="fails")
@dsl.pipeline
def moments():
    see(x=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER)
    see(x=dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER)


@case(
    saw("see", x=Like(r"<see of [^{}]+>")),
    saw("see", x=Like(r"<see-2 of [^{}]+>")),
    row=ROW,
)
@dsl.pipeline
def placeholders_within_a_text():
    for _ in range(2):
        see(x=f"<{dsl.PIPELINE_TASK_NAME_PLACEHOLDER} of {dsl.PIPELINE_JOB_NAME_PLACEHOLDER}>")


@case(
    saw("see_dict", d={"job": SOME, "deep": [Like(r"in see-dict"), 1], "n": 5}),
    arguments={"n": 5},
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def placeholders_within_a_dict(n: int):
    task = f"in {dsl.PIPELINE_TASK_NAME_PLACEHOLDER}"
    see_dict(d={"job": dsl.PIPELINE_JOB_ID_PLACEHOLDER, "deep": [task, 1], "n": n})


@case(saw("see_list", items=[SOME, Like("see-list"), 2]), row=ROW, kfp_local="wrong")
@dsl.pipeline
def placeholders_within_a_list():
    see_list(items=[dsl.PIPELINE_JOB_NAME_PLACEHOLDER, dsl.PIPELINE_TASK_NAME_PLACEHOLDER, 2])


@case(
    saw("see_data", data=made("Dataset", "x", job=SOME, n=1)),
    files={"x.txt": "x"},
    arguments={"uri": "<folder>/x.txt"},
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def placeholders_within_the_metadata_of_an_importer(uri: str):
    metadata = {"job": dsl.PIPELINE_JOB_NAME_PLACEHOLDER, "n": 1}
    found = dsl.importer(artifact_uri=uri, artifact_class=Dataset, metadata=metadata)
    see_data(data=found.output)


@step
def see_same(one: str, two: str) -> str:
    note(same=one == two)
    return one


@case(*[saw("see_same", same=True)] * 3, row=ROW, kfp_local="fails")
@dsl.pipeline
def a_job_has_one_name_everywhere():
    first = see_same(one=dsl.PIPELINE_JOB_ID_PLACEHOLDER, two=f"{dsl.PIPELINE_JOB_ID_PLACEHOLDER}")
    see_same(one=first.output, two=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    with dsl.ParallelFor([1]):
        see_same(one=first.output, two=dsl.PIPELINE_JOB_ID_PLACEHOLDER)


@case(saw("see", x="see-3"), saw("see", x="see"), saw("see", x="see-2"), row=ROW)
@dsl.pipeline
def each_task_has_its_own_name():
    for _ in range(3):
        see(x=dsl.PIPELINE_TASK_NAME_PLACEHOLDER)


# --- the workspace -----------------------------------------------------------------------------


@step
def leave_file(workspace: str) -> str:
    import pathlib

    place = pathlib.Path(workspace, "shared.txt")
    place.write_text("shared")
    note(kept=str(place))
    return "shared.txt"


@step
def find_file(folder: str, name: str):
    import pathlib

    note(text=pathlib.Path(folder, name).read_text())


@case(
    saw("leave_file", kept=SOME),
    saw("find_file", text="shared"),
    row="workspace",
    stays=True,
    kfp_local="wrong",
)
@dsl.pipeline(pipeline_config=dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi")))
def tasks_share_a_workspace_that_stays():
    left = leave_file(workspace=dsl.WORKSPACE_PATH_PLACEHOLDER)
    find_file(folder=dsl.WORKSPACE_PATH_PLACEHOLDER, name=left.output)


@case(saw("see", x=Like(r"/[^{}]+/data/file")), row="workspace")
@dsl.pipeline(pipeline_config=dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi")))
def a_place_within_the_workspace():
    see(x=f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/data/file")


# --- the environment ---------------------------------------------------------------------------


@step
def see_variables(names: list):
    import os

    note(found=[os.environ.get(name) for name in names])


@case(
    saw("see_variables", found=["one", "with = and $HOME", None]),
    saw("see_variables", found=[None, None, None]),
    row="environment",
)
@dsl.pipeline
def variables_of_one_task():
    first = see_variables(names=["CASE_ONE", "CASE_TWO", "CASE_NONE"])
    first.set_env_variable("CASE_ONE", "one").set_env_variable("CASE_TWO", "with = and $HOME")
    see_variables(names=["CASE_ONE", "CASE_TWO", "CASE_NONE"]).after(first)


@case(saw("see_int", n=1), row="environment")
@dsl.pipeline
def settings_without_a_meaning_here_are_accepted():
    task = see_int(n=1).set_display_name("Shown as this").set_caching_options(False)
    task.set_cpu_limit("1").set_memory_limit("512Mi").set_cpu_request("0.5")


# --- values that look like code ----------------------------------------------------------------

TRICKY = (
    "python3 -c 'x'",
    'it\'s "quoted" \\ back\\\\slash',
    "{{$.inputs.parameters['x']}} {{$.pipeline_job_name}} {{$}}",
    "line\none\ttab\r\n",
    "$(touch /tmp/x) `id` ; rm -rf $HOME && echo $PATH",
    '{"IfPresent": {"InputName": "x", "Then": "y"}}',
    '{"Concat": ["a", "b"]}',
    "</script> %s %(x)s {0} {x}",
)


@case(
    saw("see_list", items=list(TRICKY)),
    *(saw("echo", x=text) for text in TRICKY),
    *(saw("see", x=f"<{text}>") for text in TRICKY),
    arguments={"items": list(TRICKY)},
    row="injection",
    kfp_local="fails",
)
@dsl.pipeline
def values_that_look_like_code(items: list[str]):
    see_list(items=items)
    with dsl.ParallelFor(items) as item:
        see(x=f"<{echo(x=item).output}>")


@case(saw("see", x="python3 is a program"), row="injection", kfp_local="wrong")
@dsl.pipeline
def the_name_of_an_interpreter_in_a_constant():
    see(x="python3 is a program")


@case(
    saw("write", text="{{$.pipeline_job_name}}"),
    saw("see_data", data=made("Dataset", "{{$.pipeline_job_name}}")),
    arguments={"text": "{{$.pipeline_job_name}}"},
    row="injection",
    kfp_local="wrong",
)
@dsl.pipeline
def a_placeholder_in_an_argument_is_text(text: str):
    see_data(data=write(text=text).outputs["data"])


@step
def see_size(text: str) -> str:
    note(size=len(text), ends=text[:1] + text[-1:])
    return text


LARGE = "<" + "'\"\\ü\n" * 60_000 + ">"


@case(
    *[saw("see_size", size=300_002, ends="<>")] * 2,
    arguments={"text": LARGE},
    row="large values",
    kfp_local="fails",
)
@dsl.pipeline
def a_text_of_300_kilobytes(text: str):
    see_size(text=see_size(text=text).output)


@step
def large_list(n: int) -> list[int]:
    note(n=n)
    return list(range(n))


@step
def see_sum_of(items: list[int]) -> int:
    note(size=len(items), total=sum(items))
    return sum(items)


@case(
    saw("large_list", n=150_000),
    saw("see_sum_of", size=150_000, total=11_249_925_000),
    row="large values",
    outputs={"Output": 11_249_925_000},
    kfp_local="fails",
)
@dsl.pipeline
def a_list_of_a_megabyte() -> int:
    return see_sum_of(items=large_list(n=150_000).output).output
