from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from unified_mlops.errors import BackendError
from unified_mlops.records import Metric
from unified_mlops_mlflow.convert import native_errors
from unified_mlops_mlflow.plugin import MlflowPlugin

FIRST_RUN = """
import sys
import time
from pathlib import Path
from unified_mlops.records import DatasetRecord, Ref
from unified_mlops_mlflow.plugin import MlflowPlugin

workspace, name = Path(sys.argv[1]), sys.argv[2]
plugin = MlflowPlugin(workspace)
run = plugin.mlops_create_run("e", name, None, {})
(workspace / "mlflow" / name).touch()
while len(list((workspace / "mlflow").glob("r?"))) < 3:
    time.sleep(0.001)
for number in range(40):
    ref = Ref("s", "dataset", f"d{number}", f"s3://bucket/d{number}")
    plugin.mlops_log_input(run, DatasetRecord(ref=ref, name=f"d{number}"), "training")
print(len(plugin.mlops_get_native(run.ref).inputs.dataset_inputs), run.name)
"""


def test_loading_the_plugin_and_checking_it_import_no_tool_and_create_nothing(tmp_path):
    code = """
import sys
from pathlib import Path
from unified_mlops_mlflow.plugin import MlflowPlugin
plugin = MlflowPlugin(Path(sys.argv[1]) / "w")
assert plugin.mlops_check_plugin().problem == ""
assert plugin.mlops_collect_lineage(None).observations == ()
plugin.mlops_describe_ui()
heavy = {"mlflow", "pandas", "numpy", "sqlalchemy", "pyarrow", "sklearn"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_three_processes_may_be_the_first_at_once_and_log_the_same_new_datasets(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST_RUN, str(tmp_path), f"r{number}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        for number in range(3)
    ]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert sorted(out.strip() for out, _ in outputs) == ["40 r0", "40 r1", "40 r2"]
    assert {error.strip() for _, error in outputs} == {""}
    database = sqlite3.connect(tmp_path / "mlflow" / "mlflow.db")
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("SELECT count(*) FROM runs").fetchone() == (3,)
    location = database.execute("SELECT artifact_location FROM experiments").fetchall()
    assert all(str(tmp_path / "mlflow" / "artifacts") in row[0] for row in location)
    database.close()
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow"}


def test_a_corrupted_database_is_a_backend_error_for_every_hook(tmp_path):
    file = tmp_path / "mlflow" / "mlflow.db"
    file.parent.mkdir()
    file.write_bytes(b"this was a database once " * 100)
    plugin = MlflowPlugin(tmp_path)
    for call in (
        lambda: plugin.mlops_create_run("e", "r", None, {}),
        lambda: plugin.mlops_list_models("m"),
        lambda: plugin.mlops_collect_lineage(None),
    ):
        with pytest.raises(BackendError, match="corrupted") as caught:
            call()
        assert "backup" in caught.value.hint
        assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
    assert "not a database" in plugin.mlops_check_plugin().problem
    assert file.read_bytes().startswith(b"this was")


@pytest.mark.parametrize("start", [4096, 200_000])
def test_a_database_with_broken_pages_is_a_backend_error(fresh, start):
    database = fresh._store.file
    with database.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * (database.stat().st_size - start))
    with pytest.raises(BackendError) as caught:
        fresh.mlops_create_run("e", "r", None, {})
        fresh.mlops_list_models("m")
    assert caught.value.hint


def test_a_locked_database_and_a_full_disk_are_backend_errors(tmp_path):
    holder = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    other = sqlite3.connect(tmp_path / "x.db", timeout=0)
    with pytest.raises(BackendError, match="locked"), native_errors("x.db"):
        other.execute("INSERT INTO t VALUES (1)")
    holder.execute("ROLLBACK")
    holder.execute("PRAGMA max_page_count = 3")
    with pytest.raises(BackendError, match="full disk"), native_errors("x.db"):
        holder.execute("INSERT INTO t VALUES (zeroblob(100000))")
    with pytest.raises(BackendError, match="full disk"), native_errors("x.db"):
        Path("/dev/full").write_text("x")
    holder.close()
    other.close()


def test_other_errors_pass_as_they_are():
    with pytest.raises(ZeroDivisionError), native_errors("x.db"):
        _ = 1 / 0


def test_mlflows_global_tracking_uri_is_left_alone(plugin, run, tmp_path, monkeypatch):
    import mlflow
    from sklearn.dummy import DummyRegressor

    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri(), os.environ.get("MLFLOW_TRACKING_URI")
    model = plugin.mlops_log_model(run, "m", DummyRegressor().fit([[1]], [1]), [[1]])
    version = plugin.mlops_register_model(model, f"frei-{run.ref.id}", {})
    plugin.mlops_load_model(version.ref)
    assert (mlflow.get_tracking_uri(), os.environ.get("MLFLOW_TRACKING_URI")) == before
    assert list(tmp_path.iterdir()) == []


def test_a_forked_process_goes_on_with_connections_of_its_own(plugin, name, run):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            plugin.mlops_log_metrics(run, [Metric("child", 1.0, 0, 1.0)])
            status = 0
        finally:
            os._exit(status)
    plugin.mlops_log_metrics(run, [Metric("parent", 2.0, 0, 1.0)])
    assert os.waitpid(child, 0)[1] == 0
    assert plugin.mlops_get_run(name, "lauf").metrics == {"child": 1.0, "parent": 2.0}


def test_threads_share_one_client(plugin, name):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: plugin.mlops_create_run(name, f"r{n}", None, {}), range(8)))
    assert len(plugin.mlops_list_runs(name)) == 8


def test_a_server_shows_the_same_store_under_the_same_urns(server, fresh, tmp_path, dataset):
    remote = MlflowPlugin(tmp_path / "remote", tracking_uri=server)
    run = fresh.mlops_create_run("e", "nah", None, {})
    assert remote.mlops_get_run("e", "nah") == run
    remote.mlops_log_params(run, {"n": 3})
    remote.mlops_log_metrics(run, [Metric("loss", 0.5, 1, 1.0)])
    remote.mlops_log_input(run, dataset(), "training")
    child = remote.mlops_create_run("e", "fern", run, {})
    assert fresh.mlops_get_run("e", "fern") == child
    here, there = fresh.mlops_collect_lineage(None), remote.mlops_collect_lineage(None)
    assert here.observations == there.observations
    assert json.loads(here.cursor)["told"] == json.loads(there.cursor)["told"]
    assert not (tmp_path / "remote").exists()


def test_a_server_that_is_away_is_told_at_once_without_its_password(tmp_path):
    plugin = MlflowPlugin(tmp_path, tracking_uri="http://me:secret@127.0.0.1:9")
    with pytest.raises(BackendError, match="no MLflow server") as caught:
        plugin.mlops_list_runs("e")
    assert "secret" not in str(caught.value)
    assert "secret" not in plugin.mlops_check_plugin().location


def test_the_check_and_the_page_name_the_store(plugin, shared):
    check = plugin.mlops_check_plugin()
    assert (check.plugin, check.tool, check.problem) == ("mlflow", "mlflow", "")
    assert check.location == str(shared / "mlflow" / "mlflow.db")
    ui = plugin.mlops_describe_ui()
    assert ui.command[:4] == (sys.executable, "-m", "mlflow", "ui")
    assert {"{port}", "127.0.0.1"} <= set(ui.command)
