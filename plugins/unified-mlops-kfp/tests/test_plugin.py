import subprocess
import sys
from functools import partial

import pytest
from kfp import compiler, dsl

from unified_mlops.errors import ArgumentError
from unified_mlops_kfp.plugin import KfpPlugin

component = partial(dsl.component, base_image="python:3.11")


@component
def say(text: str) -> str:
    return text


@dsl.pipeline(name="hello")
def hello(text: str = "a"):
    say(text=text)


def test_a_function_a_file_and_a_dict_are_one_pipeline(plugin, tmp_path):
    for name in ("p.yaml", "p.json"):
        compiler.Compiler().compile(hello, str(tmp_path / name))
    records = [
        plugin.mlops_load_pipeline(template)
        for template in (hello, tmp_path / "p.yaml", str(tmp_path / "p.json"))
    ]
    records.append(plugin.mlops_load_pipeline(records[0].spec))
    assert len({record.ref for record in records}) == 1
    ref = records[0].ref
    assert (records[0].name, ref.kind) == ("hello", "pipeline")
    assert ref.uri == f"kfp:pipeline/{ref.id}"
    assert ref.id.startswith("hello@")
    assert len(ref.id) == len("hello@") + 12


def test_another_definition_has_another_uri(plugin):
    other = dsl.pipeline(hello.pipeline_func, name="hello", description="other")
    assert plugin.mlops_load_pipeline(other).ref != plugin.mlops_load_pipeline(hello).ref


def test_what_is_said_for_one_platform_is_kept(plugin, tmp_path):
    (tmp_path / "p.yaml").write_text(
        "pipelineInfo: {name: x}\nroot: {}\nschemaVersion: 2.1.0\n---\nplatforms: {kubernetes: {}}"
    )
    assert plugin.mlops_load_pipeline(tmp_path / "p.yaml").spec["platforms"] == {"kubernetes": {}}


@pytest.mark.parametrize("content", [None, "a: [", "- 1", "just text", "a: 1", "\x00"])
def test_what_is_no_compiled_pipeline_is_refused(plugin, tmp_path, content):
    if content is not None:
        (tmp_path / "p.yaml").write_text(content)
    with pytest.raises(ArgumentError):
        plugin.mlops_load_pipeline(tmp_path / "p.yaml")


def test_a_plain_function_is_refused_with_what_to_type(plugin):
    with pytest.raises(ArgumentError, match="neither a pipeline function") as caught:
        plugin.mlops_load_pipeline(lambda: None)
    assert "@kfp.dsl.pipeline" in caught.value.hint


def test_the_root_is_in_the_workspace_unless_it_is_given(tmp_path):
    assert KfpPlugin(tmp_path).mlops_check_plugin().location == str(tmp_path / "pipelines")
    assert KfpPlugin(tmp_path, root=str(tmp_path / "x")).root == tmp_path / "x"


def test_importing_constructing_and_checking_imports_no_tool_and_starts_nothing():
    code = (
        "import sys, pathlib; from unified_mlops_kfp.plugin import KfpPlugin;"
        "check = KfpPlugin(pathlib.Path('nowhere')).mlops_check_plugin();"
        "assert check.version and not {'kfp', 'yaml', 'google', 'packaging'} & set(sys.modules);"
        "assert not pathlib.Path('nowhere').exists()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_and_one_point_nothing_are_one_definition(plugin):
    spec = {"pipelineInfo": {"name": "x"}, "root": {"n": [1]}, "schemaVersion": "2.1.0"}
    other = {**spec, "root": {"n": [1.0]}}  # as a server's JSON and a compiled file say it
    assert plugin.mlops_load_pipeline(other).ref == plugin.mlops_load_pipeline(spec).ref
