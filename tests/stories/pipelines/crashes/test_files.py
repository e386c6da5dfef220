"""Files of jobs that are damaged, or cannot be written."""

import resource
import shutil

import pytest
from tests.stories.pipelines.crashes import faults
from tests.stories.pipelines.crashes.faults import single
from tests.stories.pipelines.crashes.machine import beginnings, finished, folder, lines, until

from unified_mlops import PipelineJob
from unified_mlops.errors import AlreadyExistsError, BackendError, TaskFailedError

pytestmark = pytest.mark.story
SUCCEEDED, FAILED = "PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED"
CANCELLED, PAUSED = "PIPELINE_STATE_CANCELLED", "PIPELINE_STATE_PAUSED"


# --- damaged files, full disks ---

DAMAGE = {"empty": "", "half": '{"name": "st', "a list": "[]", "foreign": '{"ref": 1, "name": {}}'}


@pytest.mark.parametrize("text", DAMAGE.values(), ids=list(DAMAGE))
def test_a_task_whose_record_is_damaged_runs_again_and_the_others_do_not(
    job, found, session, tmp_path, text
):
    (tmp_path / "once").touch()
    given = {name: tmp_path / name for name in ("place", "once", "lines")}
    made = job(faults.neighbours, "d", **given)
    made.submit()
    until(lambda: len(finished(folder(session, "neighbours", "d"))) == 2)
    made.cancel()
    (folder(session, "neighbours", "d") / "step-2" / "task.json").write_text(text)
    again = found("d")
    assert again.task_details["hang-2"].state == "SUCCEEDED"
    again.resume()
    until(lambda: lines(tmp_path / "lines")["end", "step-2"] == 2)
    again.cancel()
    assert beginnings(tmp_path / "lines") == {"step-2": 2}
    again.delete()


@pytest.mark.parametrize("name", ["job.json", "pipeline.json"])
@pytest.mark.parametrize("text", DAMAGE.values(), ids=list(DAMAGE))
def test_a_job_whose_files_are_damaged_is_named_and_hides_no_other(job, found, session, name, text):
    job(single(faults.large, "fine"), "fine").run()
    job(single(faults.large, "fine"), "broken").run()
    (folder(session, "fine", "broken") / name).write_text(text)
    with pytest.raises(BackendError, match=f"broken/{name}' is damaged"):
        found("broken")
    with pytest.warns(UserWarning, match=f"broken/{name}' is damaged"):
        listed = PipelineJob.list('pipeline_name = "fine"', session=session)
    assert [one.job_id for one in listed] == ["fine"]
    with pytest.raises(AlreadyExistsError):
        job(single(faults.large, "fine"), "broken").run()
    for job_id in ("fine", "broken"):
        shutil.rmtree(folder(session, "fine", job_id))


def test_a_record_that_cannot_be_written_fails_its_task_and_the_job_says_so(job, found, session):
    pipeline = single(faults.large, "full")
    job(pipeline, "first").run()  # the fork server is there before files may not be large
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        made = job(pipeline, "full", number=60_000)
        with pytest.raises(TaskFailedError, match="task.json' is at the limit"):
            made.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (made.state, made.task_details["large"].state) == (FAILED, "FAILED")
    again = found("full")
    again.resume()
    again.wait()
    assert again.state == SUCCEEDED


def test_finished_tasks_are_kept_whatever_their_values_look_like(job, found, session, tmp_path):
    tricky = (
        "it's \"so\" {{$.inputs.parameters['x']}} {{$}} python3 -c\nline\\ $(id) \N{GRINNING FACE} "
        * 4000
    )
    given = {"place": tmp_path / "place", "lines": tmp_path / "lines", "text": tricky}
    made = job(faults.echoes, "tricky", **given)
    made.submit()
    until(lambda: len(finished(folder(session, "echoes", "tricky"))) == 2)
    made.cancel()
    again = found("tricky")
    again.resume()
    until(lambda: again.task_details.get("hang") and again.task_details["hang"].state == "RUNNING")
    again.cancel()
    assert again.task_details["echo-2"].parameters == {"Output": tricky}
    assert lines(tmp_path / "lines").total() == 2
