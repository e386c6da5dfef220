"""`Collected`, and loops over artifacts."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output
from tests.stories.pipelines.case import case, made, saw
from tests.stories.pipelines.cases.parts import (
    count,
    double,
    echo,
    note,
    see_all,
    see_data,
    see_int,
    see_list,
    step,
    write,
    write_int,
)

ROW = "Collected"


@step
def see_ints_list(items: list[int]) -> int:
    note(items=items)
    return sum(items)


@step
def see_lists(items: list[list[int]]):
    note(items=items)


@step
def see_sum(a: int, b: int) -> int:
    note(a=a, b=b)
    return a + b


@step
def write_two(a: int, b: int, data: Output[Dataset]):
    note(a=a, b=b)
    with open(data.path, "w") as file:  # noqa: PTH123
        file.write(f"{a} {b}")


@step
def late(n: int) -> int:
    import time

    time.sleep(0.3 - n / 10)
    note(n=n)
    return n


@case(
    *(saw("double", n=n) for n in (1, 2, 3)),
    saw("see_ints_list", items=[2, 4, 6]),
    row=ROW,
    outputs={"Output": 12},
    kfp_local="fails",
)
@dsl.pipeline
def parameters_are_collected() -> int:
    with dsl.ParallelFor([1, 2, 3]) as item:
        twice = double(n=item)
    return see_ints_list(items=dsl.Collected(twice.output)).output


@case(
    *(saw("late", n=n) for n in (1, 2, 3)),
    saw("see_ints_list", items=[1, 2, 3]),
    row=ROW,
    kfp_local="fails",
)
@dsl.pipeline
def parameters_are_collected_in_the_order_of_the_items():
    with dsl.ParallelFor([1, 2, 3]) as item:
        one = late(n=item)
    see_ints_list(items=dsl.Collected(one.output))


@case(*(saw("echo", x=x) for x in ("a", "b")), row=ROW, outputs={"Output": ["a", "b"]})
@dsl.pipeline
def what_is_collected_can_be_the_output() -> list[str]:
    with dsl.ParallelFor(["a", "b"]) as item:
        told = echo(x=item)
    return dsl.Collected(told.output)


@dsl.pipeline
def each(items: list[int]):
    with dsl.ParallelFor(items) as item:
        see_int(n=item)


@case(saw("double", n=1), saw("double", n=2), saw("see_int", n=2), saw("see_int", n=4), row=ROW)
@dsl.pipeline
def a_loop_over_what_is_collected():
    with dsl.ParallelFor([1, 2]) as item:
        twice = double(n=item)
    each(items=dsl.Collected(twice.output))


@case(
    *(saw("see_sum", a=a, b=b) for a in (1, 2) for b in (10, 20)),
    saw("see_lists", items=[[11, 21], [12, 22]]),
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def parameters_of_nested_loops_are_collected_as_lists_of_lists():
    with dsl.ParallelFor([1, 2]) as outer, dsl.ParallelFor([10, 20]) as inner:
        one = see_sum(a=outer, b=inner)
    see_lists(items=dsl.Collected(one.output))


@case(
    saw("write_int", n=1),
    saw("write_int", n=2),
    saw("see_all", data=[made("Dataset", "number 1", n=1), made("Dataset", "number 2", n=2)]),
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def artifacts_are_collected():
    with dsl.ParallelFor([1, 2]) as item:
        one = write_int(n=item)
    see_all(data=dsl.Collected(one.outputs["data"]))


@case(
    *(saw("write_two", a=a, b=b) for a in (1, 2) for b in (3, 4)),
    saw("see_all", data=[made("Dataset", f"{a} {b}") for a in (1, 2) for b in (3, 4)]),
    row=ROW,
    kfp_local="fails",
)
@dsl.pipeline
def artifacts_of_nested_loops_are_collected_as_one_list():
    with dsl.ParallelFor([1, 2]) as outer, dsl.ParallelFor([3, 4]) as inner:
        one = write_two(a=outer, b=inner)
    see_all(data=dsl.Collected(one.outputs["data"]))


@case(
    saw("see_list", items=[]),
    arguments={"items": []},
    name="nothing_is_collected",
    row=ROW,
    kfp_local="fails",
)
@case(
    saw("double", n=4),
    saw("see_list", items=[8]),
    arguments={"items": [4]},
    name="one_is_collected",
    row=ROW,
    kfp_local="wrong",
)
@dsl.pipeline
def collected_from_a_parameter(items: list[int]):
    with dsl.ParallelFor(items) as item:
        twice = double(n=item)
    see_list(items=dsl.Collected(twice.output))


@case(saw("count", n=0), saw("see_all", data=None), row=ROW, kfp_local="fails")
@dsl.pipeline
def no_artifacts_are_collected():
    # kfp's own executor makes None of an empty list of artifacts
    with dsl.ParallelFor(count(n=0).output) as item:
        one = write_int(n=item)
    see_all(data=dsl.Collected(one.outputs["data"]))


@case(
    saw("double", n=3),
    saw("double", n=4),
    saw("see_ints_list", items=[6, 8]),
    row=ROW,
    kfp_local="fails",
)
@dsl.pipeline
def iterations_whose_branch_did_not_run_are_left_out():
    with dsl.ParallelFor([1, 3, 2, 4]) as item, dsl.If(item > 2):
        twice = double(n=item)
    see_ints_list(items=dsl.Collected(twice.output))


@case(
    saw("write_int", n=3),
    saw("see_all", data=[made("Dataset", "number 3", n=3)]),
    row=ROW,
    kfp_local="fails",
)
@dsl.pipeline
def artifacts_of_branches_that_did_not_run_are_left_out():
    with dsl.ParallelFor([1, 3]) as item, dsl.If(item > 2):
        one = write_int(n=item)
    see_all(data=dsl.Collected(one.outputs["data"]))


@dsl.pipeline
def squares(items: list[int]) -> list[int]:
    with dsl.ParallelFor(items) as item:
        one = double(n=item)
    return dsl.Collected(one.output)


@case(
    *(saw("double", n=n) for n in (0, 0, 1)),
    *(saw("count", n=n) for n in (1, 2)),
    saw("see_ints_list", items=[0]),
    saw("see_ints_list", items=[0, 2]),
    row=ROW,
    kfp_local="fails",
)
@dsl.pipeline
def a_nested_pipeline_with_a_loop_within_a_loop():
    with dsl.ParallelFor([1, 2]) as item:
        see_ints_list(items=squares(items=count(n=item).output).output)


# --- loops over artifacts ----------------------------------------------------------------------


@dsl.pipeline
def see_each(data: Input[list[Dataset]]):
    with dsl.ParallelFor(data) as one:
        see_data(data=one)


@case(
    saw("write", text="a"),
    saw("write", text="b"),
    saw("see_data", data=made("Dataset", "a")),
    saw("see_data", data=made("Dataset", "b")),
    row="artifact loops",
    kfp_local="wrong",
)
@dsl.pipeline
def a_loop_over_collected_artifacts():
    with dsl.ParallelFor(["a", "b"]) as item:
        one = write(text=item)
    see_each(data=dsl.Collected(one.outputs["data"]))


@step
def copy(data: Input[Dataset], copied: Output[Dataset]):
    note(data=data)
    with open(data.path) as source, open(copied.path, "w") as file:  # noqa: PTH123
        file.write(source.read() + "!")
    copied.metadata.update(data.metadata)


@dsl.pipeline
def copy_all(data: Input[list[Dataset]]) -> list[Dataset]:
    with dsl.ParallelFor(data) as one:
        copied = copy(data=one)
    return dsl.Collected(copied.outputs["copied"])


@case(
    *(saw("write", text=x) for x in "ab"),
    *(saw("copy", data=made("Dataset", x)) for x in "ab"),
    saw("see_all", data=[made("Dataset", "a!"), made("Dataset", "b!")]),
    row="artifact loops",
    kfp_local="fails",
)
@dsl.pipeline
def a_nested_pipeline_loops_over_a_list_of_artifacts():
    with dsl.ParallelFor(["a", "b"]) as item:
        one = write(text=item)
    see_all(data=copy_all(data=dsl.Collected(one.outputs["data"])).output)


@case(
    *(saw("write_int", n=n) for n in (7, 8)),
    row="lists of artifacts",
    outputs={"Output": [made("Dataset", f"number {n}", n=n) for n in (7, 8)]},
    kfp_local="wrong",
)
@dsl.pipeline
def a_list_of_artifacts_is_the_output() -> list[Dataset]:
    with dsl.ParallelFor([7, 8]) as item:
        one = write_int(n=item)
    return dsl.Collected(one.outputs["data"])


@case(
    saw("write_int", n=1),
    saw("see_all", data=[made("Dataset", "number 1", n=1)]),
    row="lists of artifacts",
    kfp_local="wrong",
)
@dsl.pipeline
def a_list_of_one_artifact():
    with dsl.ParallelFor([1]) as item:
        one = write_int(n=item)
    see_all(data=dsl.Collected(one.outputs["data"]))
