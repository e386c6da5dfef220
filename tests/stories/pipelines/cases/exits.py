"""Exit handlers, `ignore_upstream_failure`, and retries."""

from kfp import dsl
from kfp.dsl import PipelineTaskFinalStatus
from tests.stories.pipelines.case import case, saw
from tests.stories.pipelines.cases.parts import (
    double,
    echo,
    fail,
    flaky,
    note,
    see,
    see_int,
    see_status,
    step,
)

ROW = "exit handlers"
FINE = {"state": "SUCCEEDED", "task": "exit-handler-1", "error": False}
BROKEN = {"state": "FAILED", "task": "exit-handler-1", "error": True}


@step
def see_status_and(x: str, n: int, status: PipelineTaskFinalStatus):
    note(x=x, n=n, status=status)


@step
def optional(n: int = -1):
    note(n=n)


@case(
    saw("double", n=1),
    saw("see_int", n=2),
    saw("see_status", status=FINE),
    row=ROW,
    order=[("see_int", "see_status")],
)
@dsl.pipeline
def an_exit_task_learns_of_success():
    with dsl.ExitHandler(see_status()):
        see_int(n=double(n=1).output)


@case(
    saw("fail", n=1),
    saw("see_status", status=BROKEN),
    row=ROW,
    state="FAILED",
    tasks={"see-int": "NOT_TRIGGERED", "see-status": "SUCCEEDED"},
)
@dsl.pipeline
def an_exit_task_learns_of_failure():
    with dsl.ExitHandler(see_status()):
        see_int(n=fail(n=1).output)


@case(
    saw("see", x="work"),
    saw("see_status_and", x="told", n=3, status=FINE),
    arguments={"x": "told"},
    row=ROW,
)
@dsl.pipeline
def an_exit_task_takes_parameters(x: str, n: int = 3):
    with dsl.ExitHandler(see_status_and(x=x, n=n)):
        see(x="work")


@case(
    saw("fail", n=1),
    saw("echo", x="cleaned"),
    row=ROW,
    state="FAILED",
    tasks={"echo": "SUCCEEDED"},
)
@dsl.pipeline
def an_exit_task_need_not_ask_for_the_status():
    with dsl.ExitHandler(echo(x="cleaned")):
        fail(n=1)


@case(saw("see", x="fine"), saw("fail", n=0), row=ROW, state="FAILED", tasks={"fail": "FAILED"})
@dsl.pipeline
def an_exit_task_that_fails_fails_the_pipeline():
    with dsl.ExitHandler(fail(n=0)):
        see(x="fine")


@case(
    *(saw("see_int", n=n) for n in (1, 2)),
    saw("fail", n=3),
    saw("see_status", status=BROKEN),
    row=ROW,
    state="FAILED",
)
@dsl.pipeline
def an_exit_handler_around_a_loop():
    with dsl.ExitHandler(see_status()), dsl.ParallelFor([1, 2, 3]) as item:
        with dsl.If(item == 3):
            fail(n=item)
        with dsl.Else():
            see_int(n=item)


@dsl.pipeline
def guarded(n: int):
    with dsl.ExitHandler(see_status()):
        see_int(n=n)


@case(
    saw("see", x="one"),
    saw("see_status", status=FINE),
    saw("see", x="two"),
    saw("see_status", status={"state": "SUCCEEDED", "task": "exit-handler-2", "error": False}),
    row=ROW,
)
@dsl.pipeline
def two_exit_handlers():
    with dsl.ExitHandler(see_status()):
        see(x="one")
    with dsl.ExitHandler(see_status()):
        see(x="two")


# --- ignore_upstream_failure -------------------------------------------------------------------

IGNORE = "ignore upstream failure"


@case(saw("double", n=4), saw("optional", n=8), row=IGNORE)
@dsl.pipeline
def what_ignores_failure_gets_the_output_of_success():
    optional(n=double(n=4).output).ignore_upstream_failure()


@case(
    saw("fail", n=4),
    saw("optional", n=-1),
    row=IGNORE,
    state="FAILED",
    tasks={"fail": "FAILED", "optional": "SUCCEEDED"},
    kfp_local="wrong",
)
@dsl.pipeline
def what_ignores_failure_falls_back_on_its_default():
    optional(n=fail(n=4).output).ignore_upstream_failure()


@case(
    saw("fail", n=4),
    saw("see", x="anyway"),
    saw("see", x="next"),
    row=IGNORE,
    state="FAILED",
    order=[("fail", "see")],
)
@dsl.pipeline
def what_ignores_failure_runs_after_it():
    anyway = see(x="anyway").after(fail(n=4)).ignore_upstream_failure()
    see(x="next").after(anyway)


@case(
    saw("fail", n=1),
    saw("optional", n=-1),
    row=IGNORE,
    state="FAILED",
    tasks={"double": "NOT_TRIGGERED", "optional": "SUCCEEDED"},
    kfp_local="wrong",
)
@dsl.pipeline
def what_ignores_failure_runs_after_what_was_not_triggered():
    optional(n=double(n=fail(n=1).output).output).ignore_upstream_failure()


# --- retries -----------------------------------------------------------------------------------


@case(
    *[saw("flaky", failures=2)] * 3,
    saw("see_int", n=3),
    row="retries",
    arguments={"folder": "<folder>"},
)
@dsl.pipeline
def a_task_is_tried_again_until_it_succeeds(folder: str):
    see_int(n=flaky(folder=folder, failures=2).set_retry(3).output)


@case(
    *[saw("flaky", failures=9)] * 3,
    row="retries",
    arguments={"folder": "<folder>"},
    state="FAILED",
    tasks={"flaky": "FAILED", "see-int": "NOT_TRIGGERED"},
)
@dsl.pipeline
def a_task_is_not_tried_more_often_than_allowed(folder: str):
    see_int(n=flaky(folder=folder, failures=9).set_retry(2).output)


@step
def patient(folder: str):
    import pathlib
    import time

    first = pathlib.Path(folder, "first")
    if not first.exists():
        first.write_text(str(time.time()))
        raise ValueError("not yet")
    note(waited=time.time() - float(first.read_text()) >= 0.9)


@case(saw("patient", waited=True), row="retries", arguments={"folder": "<folder>"})
@dsl.pipeline
def a_retry_waits_as_long_as_told(folder: str):
    patient(folder=folder).set_retry(1, backoff_duration="1s")


@dsl.pipeline
def shaky(folder: str) -> int:
    see(x="begun")
    return flaky(folder=folder, failures=1).output


@case(
    *[saw("see", x="begun")] * 2,
    *[saw("flaky", failures=1)] * 2,
    saw("see_int", n=2),
    row="retries",
    arguments={"folder": "<folder>"},
    kfp_local="fails",
)
@dsl.pipeline
def a_nested_pipeline_is_tried_again(folder: str):
    see_int(n=shaky(folder=folder).set_retry(2).output)


@case(
    *[saw("flaky", failures=1)] * 2,
    row="retries",
    arguments={"folder": "<folder>"},
)
@dsl.pipeline
def a_task_within_a_loop_is_tried_again(folder: str):
    with dsl.ParallelFor([1]):
        flaky(folder=folder, failures=1).set_retry(1)
