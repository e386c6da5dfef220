"""Components that many cases use. Each writes down what it sees before it does anything."""

from functools import partial
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output


def note(**values: Any) -> None:
    """Write down which component runs, and what it sees. Its source goes into each component."""
    import json
    import os
    import sys

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        if hasattr(value, "pipeline_task_name"):
            told = {"state": value.state, "task": value.pipeline_task_name}
            return {**told, "error": bool(value.error_message)}
        if not hasattr(value, "metadata"):
            return value
        there = os.path.isfile(value.path)  # noqa: PTH113
        text = open(value.path).read() if there else None  # noqa: PTH123, SIM115
        return {"artifact": type(value).__name__, "text": text, "metadata": value.metadata}

    line = [sys._getframe(1).f_code.co_name, {key: plain(item) for key, item in values.items()}]
    with open(os.environ["CASE_JOURNAL"], "a") as file:  # noqa: PTH123
        file.write(json.dumps(line) + "\n")


step = partial(
    dsl.component, base_image="python:3.11", install_kfp_package=False, additional_funcs=[note]
)
"""A component that has `note`, and installs nothing."""


@step
def see(x: str):
    note(x=x)


@step
def see_int(n: int) -> int:
    note(n=n)
    return n


@step
def see_float(f: float):
    note(f=f)


@step
def see_bool(b: bool):
    note(b=b)


@step
def see_list(items: list):
    note(items=items)


@step
def see_dict(d: dict):
    note(d=d)


@step
def see_two(x: str, n: int):
    note(x=x, n=n)


@step
def see_ints(a: int, b: int) -> int:
    note(a=a, b=b)
    return a + b


@step
def see_data(data: Input[Dataset]):
    note(data=data)


@step
def see_all(data: Input[list[Dataset]]):
    note(data=data)


@step
def echo(x: str) -> str:
    note(x=x)
    return x


@step
def double(n: int) -> int:
    note(n=n)
    return 2 * n


@step
def count(n: int) -> list[int]:
    note(n=n)
    return list(range(n))


@step
def words(text: str) -> list[str]:
    note(text=text)
    return text.split()


@step
def rows(n: int) -> list[dict[str, int]]:
    note(n=n)
    return [{"a": i, "b": i * i} for i in range(n)]


@step
def several(n: int) -> NamedTuple("Several", [("low", int), ("high", int), ("word", str)]):  # type: ignore[valid-type]
    note(n=n)
    return n - 1, n + 1, "x" * n


@step
def write(text: str, data: Output[Dataset]):
    note(text=text)
    with open(data.path, "w") as file:  # noqa: PTH123
        file.write(text)


@step
def write_int(n: int, data: Output[Dataset]):
    note(n=n)
    data.metadata["n"] = n
    with open(data.path, "w") as file:  # noqa: PTH123
        file.write(f"number {n}")


@step
def train(data: Input[Dataset], rate: float, model: Output[Model]):
    note(data=data, rate=rate)
    model.metadata["rate"] = rate
    with open(model.path, "w") as file:  # noqa: PTH123
        file.write(f"fitted on {open(data.path).read()}")  # noqa: PTH123, SIM115


@step
def fail(n: int) -> int:
    note(n=n)
    raise ValueError("on purpose")


@step
def see_status(status: dsl.PipelineTaskFinalStatus):
    note(status=status)


@step
def flaky(folder: str, failures: int) -> int:
    import pathlib

    note(failures=failures)
    tries = pathlib.Path(folder, "tries")
    before = int(tries.read_text()) if tries.exists() else 0
    tries.write_text(str(before + 1))
    if before < failures:
        raise ValueError(f"try {before + 1}")
    return before + 1


@step
def meet(folder: str, me: str, others: int):
    import pathlib
    import time

    note(me=me)
    pathlib.Path(folder, f"here-{me}").touch()
    end = time.monotonic() + 4
    while len(list(pathlib.Path(folder).glob("here-*"))) < others:
        if time.monotonic() > end:
            raise TimeoutError("nobody else came: one runs after the other")
        time.sleep(0.01)
