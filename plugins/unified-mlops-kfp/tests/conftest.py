import pytest

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
