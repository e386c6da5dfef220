"""A session whose processes all bear a mark, and the check that a test leaves none of them."""

import gc
import os
import random
from pathlib import Path

import pytest
from tests.stories.pipelines.crashes import faults
from tests.stories.pipelines.crashes.machine import MARK, Machine, lines, strays, until

from unified_mlops import PipelineJob
from unified_mlops.config import Config
from unified_mlops.session import Session


@pytest.fixture(scope="package")
def mark():
    return f"{os.getpid()}-{random.random()}"


@pytest.fixture(scope="package")
def session(tmp_path_factory, mark):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, mark)
        yield Session(Config(workspace=tmp_path_factory.mktemp("faults") / "w"))


@pytest.fixture
def machine(session, mark):
    return Machine(session.config.workspace, mark)


@pytest.fixture(autouse=True)
def _nothing_left(mark):
    yield
    gc.collect()
    until(lambda: not strays(mark), seconds=5)


@pytest.fixture
def job(session, tmp_path):
    def job(pipeline, job_id=None, **given):
        given = {k: str(v) if isinstance(v, Path) else v for k, v in given.items()}
        job_id = job_id or f"job-{tmp_path.name.replace('_', '-').lower()}"
        return PipelineJob(
            "x",
            pipeline,
            job_id=job_id,
            parameter_values=given,
            enable_caching=False,
            session=session,
        )

    return job


@pytest.fixture
def found(session):
    return lambda job_id: PipelineJob.get(job_id, session=session)


@pytest.fixture(scope="package")
def uninterrupted(session, tmp_path_factory):
    place = tmp_path_factory.mktemp("uninterrupted") / "lines"
    job = PipelineJob("x", faults.diamond, parameter_values={"lines": str(place)}, session=session)
    job.run()
    return job.outputs, set(lines(place))
