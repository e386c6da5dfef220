# The bodies of components are what users write.
# ruff: noqa: PLW1510, PTH123
import json
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from kfp import dsl

from unified_mlops_kfp.plugin import KfpPlugin

component = partial(dsl.component, base_image="python:3.11")


def use_tiny() -> dict:
    import shutil
    import subprocess
    import sys

    import colorsys_tiny
    import pluggy
    from kfp.dsl import executor

    return {
        "tiny": colorsys_tiny.VERSION,
        "pluggy": getattr(pluggy, "OURS", ""),
        "kfp": executor.__file__,
        "python": sys.prefix,
        "script": shutil.which("tiny"),
        "child": subprocess.run(
            [sys.executable, "-c", "import colorsys_tiny as c; print(c.VERSION)"],
            capture_output=True,
            text=True,
        ).stdout.strip(),
    }


def nothing() -> int:
    return 1


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Small wheels: `colorsys-tiny` in two versions, and a `pluggy` that is not ours."""
    folder = tmp_path_factory.mktemp("wheels")
    for name, number, source in (
        ("colorsys_tiny", "1.0", "VERSION = '1.0'\ndef main(): print(VERSION)\n"),
        ("colorsys_tiny", "2.0", "VERSION = '2.0'\ndef main(): print(VERSION)\n"),
        ("pluggy", "0.0.1", "OURS = 'no'\nclass HookspecMarker:\n    pass\n"),
    ):
        meta = f"{name}-{number}.dist-info"
        with zipfile.ZipFile(folder / f"{name}-{number}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}.py", source)
            wheel.writestr(
                f"{meta}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n"
            )
            tag = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            wheel.writestr(f"{meta}/WHEEL", tag)
            wheel.writestr(f"{meta}/entry_points.txt", f"[console_scripts]\ntiny = {name}:main\n")
            wheel.writestr(f"{meta}/RECORD", "")
    return folder


@pytest.fixture
def needing(wheels):
    """A component that needs packages from the folder of wheels, and never from a network."""

    def needing(function, *packages):
        found = ["--no-index", "--find-links", str(wheels), *packages]
        return component(function, packages_to_install=found)

    return needing


@pytest.fixture
def plugin(tmp_path):
    return KfpPlugin(tmp_path / "workspace")


@pytest.fixture
def environments(tmp_path):
    return lambda: [
        path for path in (tmp_path / "workspace" / "environments").iterdir() if path.is_dir()
    ]


def test_what_is_there_already_is_not_installed(plugin, run, tmp_path):
    index = ["https://index.example"]
    met = component(nothing, packages_to_install=["PyYAML>=5", "kfp==2.0.0"], pip_index_urls=index)
    assert run(met).state == "SUCCEEDED"
    assert not (tmp_path / "workspace").exists()


def test_what_is_missing_is_installed_once_and_wins_over_what_the_session_has(
    plugin, run, needing, environments
):
    packages = ("colorsys-tiny==1.0", "pluggy<0.1")
    record = run(needing(use_tiny, *packages), name="first")
    found = record.parameters["Output"]
    (folder,) = environments()
    assert (found["tiny"], found["child"], found["pluggy"]) == ("1.0", "1.0", "no")
    assert (found["python"], found["script"]) == (str(folder), str(folder / "bin" / "tiny"))
    assert not found["kfp"].startswith(str(folder))
    began = time.monotonic()
    again = run(needing(use_tiny, *reversed(packages)), name="second")
    assert again.parameters == record.parameters
    assert time.monotonic() - began < 1
    assert environments() == [folder]


def test_two_versions_of_a_package_run_side_by_side(plugin, request_of, needing, environments):
    requests = [
        request_of(needing(use_tiny, f"colorsys-tiny=={number}"), name=number)
        for number in ("1.0", "2.0")
    ]
    with ThreadPoolExecutor(2) as pool:
        records = list(pool.map(plugin.mlops_run_task, requests))
    assert [record.parameters["Output"]["tiny"] for record in records] == ["1.0", "2.0"]
    assert len(environments()) == 2


def test_several_tasks_that_need_the_same_wait_for_one_build(
    plugin, request_of, needing, environments
):
    requests = [
        request_of(needing(nothing, "colorsys-tiny"), name=str(number)) for number in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        records = list(pool.map(plugin.mlops_run_task, requests))
    assert [record.state for record in records] == ["SUCCEEDED"] * 4
    assert len(environments()) == 1


def test_what_cannot_be_installed_fails_the_task_and_leaves_nothing(
    plugin, run, needing, environments
):
    record = run(needing(nothing, "colorsys-tiny>=3"))
    assert record.state == "FAILED"
    assert record.error.startswith("its packages cannot be installed: Because")
    assert "colorsys-tiny" in record.error and "\n" not in record.error
    assert environments() == []


def test_a_password_of_an_index_is_not_told(plugin, run, monkeypatch):
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    index = ["https://user:hush-hush@127.0.0.1:1/simple"]
    unmet = component(nothing, packages_to_install=["not-there-at-all"], pip_index_urls=index)
    record = run(unmet)
    assert record.state == "FAILED"
    assert "hush-hush" not in record.error + record.log


def test_a_path_of_a_wheel_is_installed(plugin, run, wheels):
    wheel = wheels / "colorsys_tiny-2.0-py3-none-any.whl"
    named = component(
        use_tiny, packages_to_install=["--no-index", f"colorsys-tiny @ file://{wheel}"]
    )
    assert run(named, name="named").parameters["Output"]["tiny"] == "2.0"


def test_a_task_is_stopped_while_its_environment_is_built(
    plugin, request_of, needing, environments, monkeypatch, tmp_path
):
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "30")
    request = request_of(component(nothing, packages_to_install=["not-there-at-all"]))
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(plugin.mlops_run_task, request)
        while not list((tmp_path / "workspace").glob("environments/*.new/bin")):
            time.sleep(0.02)
        assert plugin.mlops_cancel_task(request)
        assert future.result(10).state == "CANCELLED"
    assert environments() == []


def test_a_build_that_was_killed_is_begun_anew(plugin, run, request_of, needing, environments):
    assert run(needing(nothing, "colorsys-tiny"), name="first").state == "SUCCEEDED"
    (folder,) = environments()
    half = folder.rename(folder.with_name(f"{folder.name}.new"))
    (half / "bin" / "python").unlink()
    other = KfpPlugin(folder.parent.parent)
    request = request_of(needing(nothing, "colorsys-tiny"), name="second")
    assert other.mlops_run_task(request).state == "SUCCEEDED"
    assert environments() == [folder]


# --- notebooks ---


def run_notebook(n: int) -> int:
    import os

    dsl.run_notebook(n=n)
    with open(os.environ["RESULT"]) as file:
        return int(file.read())


def test_a_notebook_runs_with_its_parameters(run, tmp_path):
    cells = [
        "n = 1",
        "import os\nprint('n is', n)\nopen(os.environ['RESULT'], 'w').write(str(n * 2))",
    ]
    notebook = {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"c{number}",
                "metadata": {"tags": ["parameters"] if number == 0 else []},
                "outputs": [],
                "source": source,
            }
            for number, source in enumerate(cells)
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (tmp_path / "book.ipynb").write_text(json.dumps(notebook))
    made = dsl.notebook_component(
        run_notebook, notebook_path=str(tmp_path / "book.ipynb"), base_image="python:3.11"
    )
    record = run(made, n=21, environment={"RESULT": str(tmp_path / "result")})
    if record.error.startswith("its packages cannot be installed"):
        pytest.skip(f"notebooks need nbclient and ipykernel: {record.error}")
    assert (record.state, record.parameters) == ("SUCCEEDED", {"Output": 42}), record.error
    assert "n is 21" in record.log
