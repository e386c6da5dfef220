import functools
import json
import threading

import pytest

from unified_mlops.errors import ArgumentError
from unified_mlops_ray import capture
from unified_mlops_ray.plugin import RayPlugin


@pytest.fixture
def tune(plugin, started):
    return functools.partial(
        plugin.mlops_run_tuning, address=started.address, report=id, environment={}
    )


def test_trials_come_back_in_order_and_are_reported_as_they_end(tune, started):
    def objective(params):
        import time

        time.sleep(params["seconds"])
        return {"twice": 2 * params["seconds"]}

    reported = []
    job = tune(
        objective=objective,
        trials=[{"seconds": 1.5}, {"seconds": 0}, {"seconds": 0.1}],
        parallel=2,
        report=reported.append,
    )
    assert [trial.params["seconds"] for trial in job.trials] == [1.5, 0, 0.1]
    assert [trial.metrics for trial in job.trials] == [{"twice": 3}, {"twice": 0}, {"twice": 0.2}]
    assert [trial.number for trial in reported] == [1, 2, 0]
    assert job.ref.uri == f"ray://{started.ref.id}/jobs/{job.ref.id}"


def test_a_generator_reports_on_its_way(tune):
    def objective(params):
        for step in range(3):
            yield {"loss": params["start"] / (step + 1)}

    (trial,) = tune(objective=objective, trials=[{"start": 6}], parallel=1).trials
    assert trial.history == ({"loss": 6}, {"loss": 3}, {"loss": 2})
    assert trial.metrics == {"loss": 2}


def test_a_trial_that_raises_exits_or_answers_nonsense_fails_and_the_others_go_on(tune):
    def objective(params):
        import os

        if params["how"] == "raise":
            raise ValueError("on purpose\nwith more")
        if params["how"] == "die":
            os._exit(1)
        return {"fine": 1} if params["how"] == "well" else 3

    hows = ["raise", "die", "nonsense", "well"]
    job = tune(objective=objective, trials=[{"how": how} for how in hows], parallel=2)
    assert [trial.state for trial in job.trials] == ["FAILED"] * 3 + ["COMPLETE"]
    assert job.trials[0].error == "ValueError: on purpose"
    assert "worker" in job.trials[1].error.lower()
    assert "no mapping of metrics" in job.trials[2].error


def test_a_trial_imports_what_the_driver_can(tune, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("ANSWER = 42")
    monkeypatch.syspath_prepend(str(tmp_path))

    def objective(params):
        import only_here

        return {"answer": only_here.ANSWER}

    (trial,) = tune(objective=objective, trials=[{}], parallel=1).trials
    assert trial.metrics == {"answer": 42}, trial.error


def test_a_function_of_main_is_sent_by_value(started, tmp_path):
    import subprocess
    import sys

    script = tmp_path / "script.py"
    script.write_text(
        f"""
from pathlib import Path
from unified_mlops_ray.plugin import RayPlugin
FACTOR = 3
def objective(params):
    return {{"y": FACTOR * params["x"]}}
job = RayPlugin(Path("w"), address={started.address!r}).mlops_run_tuning(
    address=None, objective=objective, trials=[{{"x": 2}}], parallel=1, report=print,
    environment={{}})
print(job.trials[0].metrics)
"""
    )
    answer = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert answer.stdout.endswith("{'y': 6.0}\n"), answer.stderr


def test_an_objective_that_cannot_be_sent_is_refused(tune):
    lock = threading.Lock()
    with pytest.raises(ArgumentError, match="cannot be sent"):
        tune(objective=lambda params: {"x": lock.locked()}, trials=[{}], parallel=1)


def test_none_at_once_is_refused(tune):
    with pytest.raises(ArgumentError):
        tune(objective=dict, trials=[{}], parallel=0)


def test_an_error_of_the_reporter_stops_the_job_and_the_cluster_stays_usable(tune):
    def stop(trial):
        raise KeyboardInterrupt

    def slow(params):
        import time

        time.sleep(params["seconds"])
        return {}

    seconds = [{"seconds": 0}, {"seconds": 60}, {"seconds": 60}]
    with pytest.raises(KeyboardInterrupt):
        tune(objective=slow, trials=seconds, parallel=2, report=stop)
    (trial,) = tune(objective=slow, trials=seconds[:1], parallel=1).trials
    assert trial.state == "COMPLETE"


def test_two_threads_share_one_connection(started, tmp_path):
    plugin = RayPlugin(tmp_path, address=started.address)
    found = {}

    def work(x):
        job = plugin.mlops_run_tuning(
            address=None,
            objective=_square,
            trials=[{"x": x}] * 2,
            parallel=1,
            report=id,
            environment={},
        )
        found[x] = [trial.metrics for trial in job.trials]

    def _square(params):
        return {"y": params["x"] ** 2}

    threads = [threading.Thread(target=work, args=(x,)) for x in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {2: [{"y": 4}] * 2, 3: [{"y": 9}] * 2}


def test_what_a_trial_reads_and_writes_with_ray_data_is_noted_in_the_workspace(
    tune, tmp_path, monkeypatch
):
    def objective(params):
        from ray import data

        data.DataContext.get_current().enable_progress_bars = False
        rows = data.read_csv(params["folder"] + "/in.csv")
        rows.write_csv(params["folder"] + "/out")
        return {"rows": rows.count()}

    (tmp_path / "in.csv").write_text("a\n1\n")
    trials = [{"folder": str(tmp_path)}]
    unseen = tune(objective=objective, trials=trials, parallel=1).trials[0]
    assert unseen.metrics == {"rows": 1}, unseen.error
    log = tmp_path / "workspace" / "ray" / "data"
    assert not log.exists()  # a worker on another machine does not make a workspace there
    log.parents[1].mkdir()
    tune(objective=objective, trials=trials, parallel=1)
    (file,) = log.iterdir()
    written = [line["writes"] for line in map(json.loads, file.read_text().splitlines())]
    assert [f"file://{tmp_path}/out"] in written


def test_callbacks_of_the_user_stay_and_ours_stands_once(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_DATA_EXECUTION_CALLBACKS", "mine.Callback")
    given = {"UNIFIED_MLOPS_WORKSPACE": str(tmp_path), "A": "1"}
    found = capture.noting(given)
    assert found == {
        **given,
        "RAY_DATA_EXECUTION_CALLBACKS": "mine.Callback,unified_mlops_ray.capture.Capture",
    }
    assert capture.noting(found) == found
