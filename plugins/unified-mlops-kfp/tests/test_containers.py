import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Output

from unified_mlops.errors import ConfigError, UnsupportedError
from unified_mlops.records import Ref
from unified_mlops_kfp import containers
from unified_mlops_kfp.plugin import KfpPlugin

RUN = Ref("kfp", "pipeline_run", "job", "kfp://local/runs/job")


@dsl.container_component
def say(text: str):
    return dsl.ContainerSpec(image="alpine", command=["printf", "%s"], args=[text])


@dsl.container_component
def entry():
    return dsl.ContainerSpec(image="alpine")


@dsl.container_component
def make(data: Output[Dataset], lines: dsl.OutputPath(int)):
    return dsl.ContainerSpec(
        image="alpine", command=["sh", "-c"], args=["true", "sh", data.path, lines]
    )


def resolved(request, **container):
    """The request as the runner hands it over: with no placeholders left in it."""
    executor = {"container": {**request.executor["container"], **container}}
    return replace(request, executor=executor)


@pytest.fixture
def host(tmp_path):
    return KfpPlugin(tmp_path, container_runner="host")


@pytest.fixture
def on_host(host, request_of):
    def on_host(*words, component=say, **rest):
        given = {} if component is make else {"text": ""}
        request = request_of(component, **given, **rest)
        return host.mlops_run_task(resolved(request, command=list(words), args=[]))

    return on_host


# --- what is refused ---


def test_without_a_docker_daemon_a_container_is_refused_before_anything_runs(
    plugin, request_of, monkeypatch
):
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    request = request_of(say, text="a")
    problem = plugin.mlops_check_task(RUN, request.executor)
    assert "no daemon answers" in problem
    assert 'container_runner = "host" below [plugins.kfp]' in problem
    with pytest.raises(UnsupportedError, match="no daemon answers"):
        plugin.mlops_run_task(request)
    assert not list(Path(request.folder).iterdir())


def test_without_the_program_docker_a_container_is_refused(plugin, request_of, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "no daemon answers" in plugin.mlops_check_task(RUN, request_of(say, text="a").executor)


def test_lightweight_components_need_no_docker(plugin, host, request_of):
    executor = request_of(dsl.component(lambda_free, base_image="python:3.11")).executor
    assert plugin.mlops_check_task(RUN, executor) == host.mlops_check_task(RUN, executor) == ""


def lambda_free():
    pass


def test_on_the_host_a_command_is_needed_because_there_is_no_image(host, request_of):
    assert host.mlops_check_task(RUN, request_of(say, text="a").executor) == ""
    problem = host.mlops_check_task(RUN, request_of(entry, name="entry").executor)
    assert "what 'alpine' runs stands in the image" in problem


def test_another_kind_of_executor_is_refused(plugin):
    for executor in ({"importer": {}}, {}, {"customJob": {}}):
        assert "is no component" in plugin.mlops_check_task(RUN, executor)


def test_an_unknown_runner_is_an_error_of_the_config(tmp_path):
    with pytest.raises(ConfigError, match="container_runner in .* is 'podman'") as caught:
        KfpPlugin(tmp_path, container_runner="podman")
    assert "'docker', 'host'" in caught.value.hint


# --- on this machine ---


def test_a_command_runs_on_the_host_and_leaves_its_outputs(host, request_of):
    request = request_of(make)
    outputs = request.executor_input["outputs"]
    data = Path(request.folder, "deep", "down", "data.csv")
    outputs["artifacts"]["data"]["artifacts"][0]["uri"] = str(data)
    lines = Path(request.folder, "out", "lines")
    outputs["parameters"]["lines"]["outputFile"] = str(lines)
    script = 'printf "a,b" > "$1"; printf 7 > "$2"; echo "on ${OWN}"; pwd'
    request = replace(
        resolved(request, command=["sh", "-c"], args=[script, "sh", str(data), str(lines)]),
        environment={"OWN": "this machine"},
    )
    record = host.mlops_run_task(request)
    assert (record.state, record.parameters) == ("SUCCEEDED", {"lines": "7"})
    (artifact,) = record.artifacts["data"]
    assert (artifact["uri"], data.read_text()) == (str(data), "a,b")
    assert record.log.splitlines() == ["on this machine", request.folder]
    assert [edge.kind for edge in record.edges] == ["OUTPUT"]


@pytest.mark.parametrize(
    "text",
    [
        'it\'s "quoted"',
        "two\nlines",
        "{{$.inputs.parameters['x']}}",
        "python3",
        "{{$}}",
        "$HOME `id`",
    ],
)
def test_a_value_reaches_a_command_as_it_is(on_host, text):
    assert on_host("printf", "%s", text).log == text


def test_a_command_that_fails_or_is_not_there_fails_its_task(on_host):
    record = on_host("sh", "-c", "echo wrong; exit 3")
    assert (record.state, record.error, record.parameters) == ("FAILED", "wrong", {})
    record = on_host("no-such-program", name="missing")
    assert record.error == "'no-such-program' cannot be started: No such file or directory"
    record = on_host("sh", "-c", "kill -KILL $$", name="killed")
    assert record.error == "killed by SIGKILL"


def test_an_argument_that_is_too_long_for_the_system_fails_its_task(on_host):
    record = on_host("printf", "x" * 3_000_000)
    assert record.error == "'printf' cannot be started: Argument list too long"


def test_a_cancelled_command_ends_with_its_children(host, request_of, said, ends):
    request = request_of(say, text="")
    script = "trap '' TERM; sleep 60 & echo $$ $!; wait; wait"
    request = resolved(request, command=["sh", "-c", script], args=[])
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(host.mlops_run_task, request)
        pids = [int(pid) for pid in said(request).split()]
        began = time.monotonic()
        assert host.mlops_cancel_task(request)
        assert future.result(10).state == "CANCELLED"
    assert time.monotonic() - began < 4
    assert len(pids) == 2 and all(ends(pid) for pid in pids)


def test_a_command_has_the_signals_of_a_new_process(on_host):
    # a Python process ignores SIGPIPE, and would hand that down
    assert on_host("sh", "-c", "yes | head -1").log == "y\n"


# --- in Docker ---


def test_a_task_is_told_to_docker_with_its_folders_limits_and_names_of_variables(
    request_of, tmp_path
):
    source = {"name": "in", "type": {}, "uri": "/data/in.csv", "metadata": {}}
    inside = {**source, "uri": f"file://{tmp_path}/one/in.csv"}
    request = replace(
        request_of(say, artifacts={"in": source, "near": inside}, text="hello"),
        environment={"TOKEN": "hush"},
        resources={"cpus": 0.5, "memory_bytes": 2e9, "gpus": 1},
    )
    request = resolved(request, args=["hello"])
    line = containers.docker(request, "name", tmp_path)
    assert line == [
        *("docker", "run", "--rm", "--init", "--name", "name", "--workdir", request.folder),
        *("--volume", f"{tmp_path}:{tmp_path}", "--volume", "/data/in.csv:/data/in.csv:ro"),
        *("--env", "TOKEN", "--cpus=0.5", "--memory=2000000000b", "--gpus=1"),
        *("--entrypoint", "printf", "alpine", "%s", "hello"),
    ]


def test_what_is_made_elsewhere_is_reachable_in_docker_too(request_of, tmp_path):
    request = request_of(make)
    request.executor_input["outputs"]["artifacts"]["data"]["artifacts"][0]["uri"] = (
        "/store/job/data"
    )
    line = containers.docker(resolved(request), "name", tmp_path / "pipelines")
    mounts = [line[at + 1] for at, word in enumerate(line) if word == "--volume"]
    assert mounts == [
        f"{tmp_path}/pipelines:{tmp_path}/pipelines",
        f"{request.folder}:{request.folder}",
        "/store/job:/store/job",
    ]


def test_without_a_command_the_image_runs_what_it_is_made_for(request_of, tmp_path):
    request = resolved(request_of(entry), args=["--help"])
    assert containers.docker(request, "name", tmp_path)[-2:] == ["alpine", "--help"]


def test_a_name_of_a_container_is_one_that_docker_takes(request_of):
    request = request_of(say, name="train[2][0]", text="")
    name = containers.container_name(request)
    assert name.isascii() and not set(name) & set("[]/ ")
    assert name != containers.container_name(replace(request, folder=f"{request.folder}.try2"))


@pytest.mark.skipif(not containers.docker_answers(), reason="no Docker daemon answers here")
def test_a_container_runs(plugin, request_of):
    record = plugin.mlops_run_task(resolved(request_of(say, text="hello"), args=["hello"]))
    assert (record.state, record.log) == ("SUCCEEDED", "hello")
