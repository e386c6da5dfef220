"""Order, what a failure stops, and what runs at the same time."""

from kfp import dsl
from tests.stories.pipelines.case import case, saw
from tests.stories.pipelines.cases.parts import (
    double,
    echo,
    fail,
    meet,
    note,
    see,
    see_int,
    see_ints,
    step,
)

ROW = "order"


@step
def slow(x: str):
    import time

    time.sleep(0.1)
    note(x=x)


@step
def leave(code: int):
    import sys

    note(code=code)
    sys.exit(code)


@step
def die(n: int):
    import os
    import signal

    note(n=n)
    os.kill(os.getpid(), signal.SIGKILL)


@case(saw("slow", x="first"), saw("see", x="second"), row=ROW, order=[("slow", "see")])
@dsl.pipeline
def a_task_after_another():
    first = slow(x="first")
    see(x="second").after(first)


@case(
    saw("slow", x="1"), saw("slow", x="2"), saw("see", x="last"), row=ROW, order=[("slow", "see")]
)
@dsl.pipeline
def a_task_after_two_others():
    see_last = see(x="last")
    see_last.after(slow(x="1"), slow(x="2"))


@case(
    saw("double", n=1),
    saw("double", n=2),
    saw("see_int", n=2),
    saw("see_ints", a=4, b=2),
    row=ROW,
    outputs={"Output": 6},
    order=[("double", "see_ints"), ("see_int", "see_ints")],
)
@dsl.pipeline
def a_diamond() -> int:
    top = double(n=1)
    left, right = double(n=top.output), see_int(n=top.output)
    return see_ints(a=left.output, b=right.output).output


@dsl.pipeline
def two_slow():
    slow(x="a")
    slow(x="b")


@case(
    saw("slow", x="a"), saw("slow", x="b"), saw("see", x="last"), row=ROW, order=[("slow", "see")]
)
@dsl.pipeline
def a_task_after_a_nested_pipeline():
    see(x="last").after(two_slow())


@case(
    saw("see", x="first"), saw("slow", x="a"), saw("slow", x="b"), row=ROW, order=[("see", "slow")]
)
@dsl.pipeline
def a_nested_pipeline_after_a_task():
    first = see(x="first")
    two_slow().after(first)


@case(
    saw("slow", x="a"),
    saw("slow", x="b"),
    saw("see", x="last"),
    row=ROW,
    order=[("slow", "see")],
)
@dsl.pipeline
def a_task_after_a_task_within_a_loop():
    with dsl.ParallelFor(["a", "b"]) as item:
        inner = slow(x=item)
    see(x="last").after(inner)


@case(
    saw("meet", me="a"),
    saw("meet", me="b"),
    row="parallelism",
    arguments={"folder": "<folder>"},
    kfp_local="fails",
)
@dsl.pipeline
def independent_tasks_run_at_the_same_time(folder: str):
    meet(folder=folder, me="a", others=2)
    meet(folder=folder, me="b", others=2)


@case(
    saw("meet", me="a"),
    saw("meet", me="b"),
    saw("meet", me="c"),
    row="parallelism",
    arguments={"folder": "<folder>"},
    kfp_local="fails",
)
@dsl.pipeline
def three_iterations_run_at_the_same_time(folder: str):
    with dsl.ParallelFor(["a", "b", "c"]) as item:
        meet(folder=folder, me=item, others=3)


@step
def alone(folder: str, me: int, most: int):
    import pathlib
    import time

    mine = pathlib.Path(folder, f"at-work-{me}")
    mine.touch()
    time.sleep(0.05)
    now = len(list(pathlib.Path(folder).glob("at-work-*")))
    time.sleep(0.05)
    mine.unlink()
    note(me=me, fine=now <= most)


@case(
    *(saw("alone", me=n, fine=True) for n in range(3)),
    row="parallelism",
    arguments={"folder": "<folder>"},
)
@dsl.pipeline
def a_limit_of_one_runs_iterations_one_after_the_other(folder: str):
    with dsl.ParallelFor([0, 1, 2], parallelism=1) as item:
        alone(folder=folder, me=item, most=1)


@case(
    *(saw("alone", me=n, fine=True) for n in range(5)),
    row="parallelism",
    arguments={"folder": "<folder>"},
)
@dsl.pipeline
def a_limit_of_two_is_kept(folder: str):
    with dsl.ParallelFor([0, 1, 2, 3, 4], parallelism=2) as item:
        alone(folder=folder, me=item, most=2)


@case(
    saw("fail", n=1),
    saw("fail", n=2),
    saw("echo", x="elsewhere"),
    saw("see", x="elsewhere"),
    row="failures",
    state="FAILED",
    tasks={"fail": "FAILED", "see-int": "NOT_TRIGGERED", "fail-2": "FAILED", "see": "SUCCEEDED"},
    kfp_local="wrong",
)
@dsl.pipeline
def a_failure_stops_what_needs_it_and_nothing_else():
    see_int(n=fail(n=1).output)
    fail(n=2)
    see(x=echo(x="elsewhere").output)


@dsl.pipeline
def broken() -> int:
    return fail(n=2).output


@case(
    saw("fail", n=2),
    row="failures",
    state="FAILED",
    tasks={"broken": "FAILED", "see-int": "NOT_TRIGGERED"},
)
@dsl.pipeline
def a_failure_within_a_nested_pipeline_fails_it():
    see_int(n=broken().output)


@case(
    saw("see_int", n=0),
    saw("see_int", n=2),
    saw("fail", n=1),
    row="failures",
    state="FAILED",
    tasks={"for-loop-2": "FAILED"},
)
@dsl.pipeline
def a_failure_in_one_iteration_leaves_the_others_alone():
    with dsl.ParallelFor([1, 0, 2]) as item:
        with dsl.If(item == 1):
            fail(n=item)
        with dsl.Else():
            see_int(n=item)


@case(saw("leave", code=0), saw("see", x="next"), row="failures")
@dsl.pipeline
def leaving_with_status_0_is_success():
    see(x="next").after(leave(code=0))


@case(saw("leave", code=3), row="failures", state="FAILED", tasks={"see": "NOT_TRIGGERED"})
@dsl.pipeline
def leaving_with_another_status_is_failure():
    see(x="next").after(leave(code=3))


@case(saw("die", n=1), row="failures", state="FAILED", tasks={"die": "FAILED"})
@dsl.pipeline
def a_component_that_is_killed_fails():
    die(n=1)
