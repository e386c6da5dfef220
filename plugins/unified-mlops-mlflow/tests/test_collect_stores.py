"""Stores that cannot be read, and what the collector says of them."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from unified_mlops.errors import BackendError
from unified_mlops_mlflow import schema, store
from unified_mlops_mlflow.plugin import MlflowPlugin


@pytest.fixture
def database(shared, tmp_path):
    """A whole, empty MLflow database of somebody else."""
    file = tmp_path / "native.db"
    shutil.copy(shared / "blank.db", file)
    return file


def change(file, *statements):
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def content(file):
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


def refused(tmp_path, file, words):
    """The error of a collection, which left the database as it was."""
    before = content(file)
    plugin = MlflowPlugin(tmp_path / "w", tracking_uri=f"sqlite:///{file}")
    with pytest.raises(BackendError, match=words) as caught:
        plugin.mlops_collect_lineage(None)
    assert content(file) == before
    assert caught.value.hint
    return caught.value


def test_a_store_of_a_newer_mlflow_is_refused_and_never_migrated(tmp_path, database):
    change(database, "UPDATE alembic_version SET version_num = 'fedcba987654'")
    assert "upgrade mlflow" in refused(tmp_path, database, "newer MLflow").hint


def test_a_store_of_an_older_mlflow_is_refused_and_never_migrated(tmp_path, database):
    """MLflow itself would migrate it, as a table is missing that came later."""
    change(
        database,
        "UPDATE alembic_version SET version_num = '451aebb31d03'",
        "DROP TABLE registered_model_aliases",
    )
    assert f"mlflow db upgrade sqlite:///{database}" in refused(tmp_path, database, "older").hint


def test_a_half_written_store_is_refused_and_never_completed(tmp_path, database):
    change(database, "DROP TABLE inputs")
    refused(tmp_path, database, "half-written: inputs is missing")


def test_a_store_whose_creation_was_interrupted_is_refused(tmp_path, database):
    change(database, "DELETE FROM alembic_version")
    refused(tmp_path, database, "half-written: alembic_version")


def test_a_database_of_another_program_is_no_store_and_gets_no_tables(tmp_path):
    file = tmp_path / "cookies.db"
    change(file, "CREATE TABLE cookies (name)")
    assert "tracking_uri" in refused(tmp_path, file, "no MLflow store").hint


def test_an_empty_file_and_a_missing_one_give_nothing_and_stay_so(tmp_path):
    for file in (tmp_path / "empty.db", tmp_path / "missing.db"):
        for scheme in ("sqlite", "sqlite+pysqlite"):
            plugin = MlflowPlugin(tmp_path / "w", tracking_uri=f"{scheme}:///{file}")
            assert plugin.mlops_collect_lineage(None).cursor is None
        assert not file.exists() or file.stat().st_size == 0
        (tmp_path / "empty.db").unlink(missing_ok=True)


def test_a_locked_store_is_told_after_a_short_wait(tmp_path, database, monkeypatch):
    monkeypatch.setattr(store, "GLANCE", 0.1)
    change(database, "PRAGMA journal_mode=DELETE")
    with closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        plugin = MlflowPlugin(tmp_path / "w", tracking_uri=f"sqlite:///{database}")
        with pytest.raises(BackendError, match="locked by another process") as caught:
            plugin.mlops_collect_lineage(None)
    assert "try again" in caught.value.hint


def test_collecting_changes_nothing_in_a_store_of_somebody_else(tmp_path, database):
    change(database, "PRAGMA journal_mode=DELETE")
    before = database.read_bytes()
    plugin = MlflowPlugin(tmp_path / "w", tracking_uri=f"sqlite:///{database}")
    assert plugin.mlops_collect_lineage(None).observations
    assert database.read_bytes() == before
    assert not (tmp_path / "w").exists()


@pytest.fixture
def website():
    """A server that is no MLflow."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_):
            """Stay quiet."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_is_no_mlflow_is_said_to_be_none(tmp_path, website):
    plugin = MlflowPlugin(tmp_path, tracking_uri=website)
    with pytest.raises(BackendError, match="no MLflow") as caught:
        plugin.mlops_collect_lineage(None)
    assert "tracking_uri" in caught.value.hint


def test_a_server_that_went_away_is_told_at_once_and_without_its_password(tmp_path):
    plugin = MlflowPlugin(tmp_path, tracking_uri="http://me:geheim@127.0.0.1:9")
    with pytest.raises(BackendError, match="no MLflow server answers") as caught:
        plugin.mlops_collect_lineage(None)
    assert "geheim" not in str(caught.value)


def test_a_folder_of_runs_is_refused_with_what_to_do(tmp_path):
    plugin = MlflowPlugin(tmp_path / "w", tracking_uri=(tmp_path / "mlruns").as_uri())
    assert plugin.mlops_collect_lineage(None).observations == ()
    (tmp_path / "mlruns").mkdir()
    with pytest.raises(BackendError, match="file store") as caught:
        plugin.mlops_collect_lineage(None)
    assert "migrate-filestore" in caught.value.hint
    assert list(tmp_path.rglob("*")) == [tmp_path / "mlruns"]


def test_the_latest_schema_of_mlflow_3_17_is_the_one_that_is_known(database):
    tables, revision = schema.of_file(database, 5)
    assert schema.of_server(f"sqlite:///{database}") == (tables, revision)
    schema.check(tables, revision, "here", "uri")
