import threading

import pytest

from unified_mlops.config import Config
from unified_mlops.hookspecs import PipelineHooks
from unified_mlops.pipelines.runner import Runner
from unified_mlops.session import Session
from unified_mlops_kfp.plugin import KfpPlugin


class Watch:
    """Remembers what the runner said, and gives every task a variable."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.started, self.finished, self.threads = [], {}, set()

    def task_started(self, name):
        self.started.append(name)
        self.threads.add(threading.current_thread().name)
        return {"TASK": name}

    def task_finished(self, name, record):
        assert name not in self.finished
        self.finished[name] = record.state


@pytest.fixture(scope="session")
def session(tmp_path_factory):
    workspace = tmp_path_factory.mktemp("workspace")
    return Session(Config(workspace=workspace), plugins={"kfp": KfpPlugin})


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def load(session):
    return lambda template: session.ask(PipelineHooks.mlops_load_pipeline, template=template)


@pytest.fixture
def run(session, load, tmp_path, watch):
    def run(template, job_id="job-1", **parameters):
        watch.reset()
        return Runner(
            session,
            load(template),
            job_id=job_id,
            root=tmp_path,
            parameters=parameters,
            provider="kfp",
            observe=watch,
        ).run()

    return run
