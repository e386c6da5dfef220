"""Lightweight components: what they need, and what they leave."""

import json
import subprocess
import sys
from functools import partial

import pytest
from kfp import dsl
from kfp.compiler import Compiler

from unified_mlops.pipelines.component import component, finished, missing, tail, why
from unified_mlops.records import Ref, TaskRequest

lightweight = partial(dsl.component, base_image="python:3.11")


def say(text: str) -> str:
    return text


@dsl.container_component
def print_it():
    return dsl.ContainerSpec(
        image="alpine", command=["printf"], args=["--function_to_execute", "x"]
    )


@pytest.fixture
def executor(tmp_path):
    def executor(made):
        import yaml

        Compiler().compile(made, str(tmp_path / "component.yaml"))
        spec = yaml.safe_load((tmp_path / "component.yaml").read_text())
        (found,) = spec["deploymentSpec"]["executors"].values()
        return found

    return executor


@pytest.fixture
def task(tmp_path):
    promised = {"uri": str(tmp_path / "data"), "type": {"schemaTitle": "system.Dataset"}}
    given = {
        "inputs": {},
        "outputs": {
            "parameters": {"n": {"outputFile": str(tmp_path / "n")}},
            "artifacts": {"data": {"artifacts": [promised]}},
            "outputFile": str(tmp_path / "executor_output.json"),
        },
    }
    ref = Ref("kfp", "task", "job/task", "kfp://local/runs/job/task")
    return TaskRequest(
        ref=ref, name="task", executor={}, executor_input=given, folder=str(tmp_path)
    )


# --- what it is ---


def test_a_lightweight_component_is_its_source_and_its_function(executor):
    found = component(executor(lightweight(say)))
    assert found.function == "say"
    assert "def say(text: str) -> str:" in found.source
    assert (found.requirements, found.options) == ((), ())


def test_a_container_is_no_lightweight_component(executor):
    assert component(executor(print_it)) is None
    assert component({"importer": {}}) is component({}) is None


@pytest.mark.parametrize("more", [{}, {"install_kfp_package": False}, {"use_venv": True}])
def test_its_requirements_are_those_of_the_user_without_kfp(executor, more):
    packages = ["pandas>=2", "kfp==2.0.1", "kfp[all]", "a; python_version < '3'", "pandas>=2"]
    found = component(executor(lightweight(say, packages_to_install=packages, **more)))
    assert found.requirements == ("a; python_version < '3'", "pandas>=2")
    assert found.options == ()


def test_what_only_sounds_like_kfp_is_a_requirement(executor):
    found = component(executor(lightweight(say, packages_to_install=["kfp-kubernetes==2.16.0"])))
    assert found.requirements == ("kfp-kubernetes==2.16.0",)


def test_kfp_from_elsewhere_is_not_installed(executor):
    place = (
        "git+https://github.com/kubeflow/pipelines.git@refs/pull/1/merge#subdirectory=sdk/python"
    )
    found = component(executor(lightweight(say, kfp_package_path=place)))
    assert found.requirements == ()


def test_where_packages_come_from_is_kept_as_pip_is_told(executor):
    made = lightweight(
        say,
        packages_to_install=["--pre", "--find-links", "/wheels", "pandas"],
        pip_index_urls=["https://a.example/simple", "https://b.example/simple"],
        pip_trusted_hosts=["a.example"],
    )
    found = component(executor(made))
    assert found.requirements == ("pandas",)
    assert found.options == (
        *("--index-url", "https://a.example/simple"),
        *("--extra-index-url", "https://b.example/simple", "--trusted-host", "a.example"),
        *("--pre", "--find-links", "/wheels"),
    )


def test_what_this_interpreter_has_is_not_missing():
    needs = ("PyYAML>=5", "absent; python_version < '3'", "absent", "PyYAML>=999", "./a.whl")
    assert missing(needs) == ("absent", "PyYAML>=999", "./a.whl")


def test_a_package_at_an_address_is_missing_whatever_version_is_here():
    assert missing(("PyYAML @ file:///wheels/PyYAML.whl",))


def test_an_extra_is_missing_where_what_it_brings_is(monkeypatch, tmp_path):
    for name, requires in (("umlops-one", "absent; extra == 'more'"), ("umlops-two", "")):
        meta = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        meta.mkdir()
        line = f"Requires-Dist: {requires}\nProvides-Extra: more\n" if requires else ""
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{line}"
        (meta / "METADATA").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    needs = ("umlops-one", "umlops-one[more]", "umlops-two[more]")
    assert missing(needs) == ("umlops-one[more]",)


def test_neither_kfp_nor_packaging_is_imported_with_it():
    code = (
        "import sys, unified_mlops.pipelines.component;"
        "assert not {'kfp', 'packaging', 'yaml', 'sqlalchemy', 'fsspec'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- what it left ---


def test_outputs_are_read_from_what_was_written_and_from_files(task, tmp_path):
    written = {"artifacts": {"data": {"artifacts": [{"metadata": {"rows": 1}}]}}}
    (tmp_path / "executor_output.json").write_text(json.dumps(written))
    (tmp_path / "n").write_text("7")
    (tmp_path / "log.txt").write_text("hello")
    record = finished(task, tmp_path / "log.txt")
    assert (record.state, record.parameters, record.log) == ("SUCCEEDED", {"n": "7"}, "hello")
    (artifact,) = record.artifacts["data"]
    assert (artifact["uri"], artifact["metadata"]) == (str(tmp_path / "data"), {"rows": 1})


def test_what_has_failed_or_was_cancelled_has_no_outputs(task, tmp_path):
    (tmp_path / "n").write_text("7")
    failed = finished(task, tmp_path / "none", "it broke")
    assert (failed.state, failed.error, failed.parameters) == ("FAILED", "it broke", {})
    cancelled = finished(task, tmp_path / "none", cancelled=True)
    assert (cancelled.state, cancelled.parameters) == ("CANCELLED", {})


@pytest.mark.parametrize("text", ["{", "[1]", '{"artifacts": {"data": 1}}', "\x00"])
def test_a_damaged_result_fails_the_task(task, tmp_path, text):
    (tmp_path / "executor_output.json").write_text(text)
    record = finished(task, tmp_path / "none")
    assert record.state == "FAILED"
    assert record.error.startswith("what it left cannot be read: ")


def test_the_reason_is_the_exception_or_the_last_line_or_the_signal():
    log = "before\nTraceback (most recent call last):\na.b.MyError: one\ntwo\n\n"
    assert why(1, log) == "a.b.MyError: one"
    assert why(3, "no\nluck\n") == "luck"
    assert why(3, "") == "exit status 3"
    assert why(-9, log) == "killed by SIGKILL"
    assert why(0, log) == ""


def test_of_a_long_log_only_the_end_is_kept(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("é" * 1_000_000 + "end")
    assert len(tail(log).encode()) <= 1_000_002
    assert tail(log).endswith("éend")
    assert tail(tmp_path / "none") == ""
