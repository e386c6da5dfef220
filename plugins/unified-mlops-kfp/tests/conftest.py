import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kfp_server import TOKEN, serving

from unified_mlops.records import Ref, TaskRequest
from unified_mlops_kfp.plugin import KfpPlugin


@pytest.fixture(scope="session")
def plugin(tmp_path_factory):
    return KfpPlugin(tmp_path_factory.mktemp("workspace"))


@pytest.fixture
def request_of(plugin, tmp_path):
    """A task that runs a component, with parameters and artifacts, in a folder of its own."""

    def request_of(component, name="task", artifacts=(), environment=(), **parameters):
        folder = tmp_path / "one" / "job" / name
        folder.mkdir(parents=True)
        spec = plugin.mlops_load_pipeline(component).spec
        (definition,) = spec["components"].values()
        outputs = definition.get("outputDefinitions", {})
        (executor,) = spec["deploymentSpec"]["executors"].values()
        return TaskRequest(
            ref=Ref("kfp", "task", f"job/{name}", f"kfp://local/runs/job/{name}"),
            name=name,
            executor=executor,
            executor_input={
                "inputs": {
                    "parameterValues": parameters,
                    "artifacts": {
                        key: {"artifacts": [item]} for key, item in dict(artifacts).items()
                    },
                },
                "outputs": {
                    "parameters": {
                        key: {"outputFile": str(folder / key)}
                        for key in outputs.get("parameters", {})
                    },
                    "artifacts": {
                        key: {
                            "artifacts": [
                                {
                                    "name": key,
                                    "type": item["artifactType"],
                                    "uri": str(folder / key),
                                    "metadata": {},
                                }
                            ]
                        }
                        for key, item in outputs.get("artifacts", {}).items()
                    },
                    "outputFile": str(folder / "executor_output.json"),
                },
            },
            folder=str(folder),
            environment=dict(environment),
        )

    return request_of


@pytest.fixture
def run(plugin, request_of):
    def run(component, **arguments):
        return plugin.mlops_run_task(request_of(component, **arguments))

    return run


@pytest.fixture
def http():
    """A KFP server on loopback."""
    with serving() as server:
        yield server


@pytest.fixture
def store(http):
    return http.store


@pytest.fixture
def host(http):
    return f"127.0.0.1:{http.server_port}/base"


@pytest.fixture
def remote(host, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "token").write_text(TOKEN + "\n")
    return KfpPlugin(tmp_path, endpoint=f"http://{host}/", token_file=str(tmp_path / "token"))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def ends():
    """Whether a process ends soon; one that nobody waited for counts as ended."""

    def ends(pid):
        deadline = time.monotonic() + 5
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        return not alive(pid)

    return ends


@pytest.fixture
def said():
    """Wait until a task has written a line to its log, and return the line."""

    def said(request):
        log, deadline = Path(request.folder, "log.txt"), time.monotonic() + 20
        while not (log.exists() and "\n" in log.read_text()):
            assert time.monotonic() < deadline, "the task says nothing"
            time.sleep(0.01)
        return log.read_text().partition("\n")[0]

    return said
