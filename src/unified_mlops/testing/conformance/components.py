"""Components and a pipeline as users write them; compiled by KFP when a test asks for one."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest


@cache
def executor(name: str) -> Any:
    """The executor of a compiled component, as it stands in the intermediate representation.

    Args:
        name: `double`, `fail`, `leave`, `linger`, `who` or `write`.
    """
    import yaml

    compiler = pytest.importorskip("kfp.compiler")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "component.yaml"
        compiler.Compiler().compile(_components()[name], str(path))
        spec = yaml.safe_load(path.read_text("utf-8"))
    return spec["deploymentSpec"]["executors"][f"exec-{name}"]


@cache
def pipeline() -> Any:
    """A pipeline of one task after another."""
    dsl = pytest.importorskip("kfp.dsl")
    double = _components()["double"]

    def twice_doubled(x: int = 1) -> int:
        first = double(x=x)
        second = double(x=first.output)
        return second.output  # type: ignore[no-any-return]

    return dsl.pipeline(name="twice-doubled")(twice_doubled)


@cache
def _components() -> dict[str, Any]:
    dsl = pytest.importorskip("kfp.dsl")
    component = dsl.component(base_image="python:3.11")
    return {made.__name__: component(made) for made in (*_plain(), _writer(dsl))}


def _plain() -> tuple[Any, ...]:
    def double(x: int) -> int:
        print("doubling", x)
        return 2 * x

    def fail(x: int) -> int:
        raise ValueError(f"cannot take {x}")

    def leave(code: int):  # type: ignore[no-untyped-def]
        import sys

        sys.exit(code)

    def who(text: str, variable: str) -> dict:  # type: ignore[type-arg]
        import os

        return {"pid": os.getpid(), "length": len(text), "value": os.environ.get(variable, "")}

    def linger(file: str):  # type: ignore[no-untyped-def]
        import os
        import subprocess
        import time

        child = subprocess.Popen(["sleep", "15"])
        with open(f"{file}.new", "w") as found:  # noqa: PTH123
            found.write(f"{os.getpid()} {child.pid}")
        os.rename(f"{file}.new", file)  # noqa: PTH104
        time.sleep(15)

    return double, fail, leave, linger, who


def _writer(dsl: Any) -> Any:
    Dataset, Output = dsl.Dataset, dsl.Output  # noqa: N806 - KFP reads them in the source

    def write(text: str, data: Output[Dataset]):  # type: ignore[no-untyped-def,valid-type]
        data.metadata["rows"] = 1  # type: ignore[attr-defined]
        with open(data.path, "w", encoding="utf-8") as file:  # type: ignore[attr-defined]  # noqa: PTH123
            file.write(text)

    return write
