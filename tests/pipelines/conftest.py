import threading

import pytest

from unified_mlops.config import Config
from unified_mlops.hookspecs import PipelineHooks
from unified_mlops.pipelines.job import Job
from unified_mlops.pipelines.plan import Options, Plan
from unified_mlops.session import Session
from unified_mlops_kfp.plugin import KfpPlugin


class Watch:
    """Remembers what the job said, and gives every component a variable."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.started, self.finished, self.threads, self.groups = [], {}, set(), []

    def environment(self, task):
        self.started.append(task.name)
        self.threads.add(threading.current_thread())
        return {"TASK": task.name}

    def changed(self, task):
        if task.state not in ("PENDING", "RUNNING"):
            self.finished[task.name] = task.state


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
def job(session, load, tmp_path, watch):
    def job(template, job_id="job-1", *, before=(), artifacts=None, options=None, **parameters):
        watch.reset()
        plan = Plan(
            load(template),
            job_id,
            str(tmp_path),
            parameters,
            artifacts or {},
            options=options or Options(),
        )
        return Job(session, plan, watch, before)

    return job


@pytest.fixture
def run(job):
    def run(template, job_id="job-1", *, again=False, **settings):
        made = job(template, job_id, **settings)
        made.open(again=again)
        return made.start().result()

    return run
