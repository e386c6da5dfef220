"""Registries: reading them cheaply, telling them apart, and saying what is wrong with them."""

import json
import sqlite3
import subprocess
import sys
import time

import pytest

from unified_mlops.errors import BackendError, ConfigError
from unified_mlops.records import Collection
from unified_mlops_feast.plugin import FeastPlugin

SQL = """\
project: feature_repo
provider: local
registry: {{registry_type: sql, path: '{path}'}}
"""


def collected(repo, cursor=None):
    return FeastPlugin(workspace=repo.parent).mlops_collect_lineage(cursor=cursor)


def on_sql(repo, path):
    (repo / "feature_store.yaml").write_text(SQL.format(path=path))


def test_a_look_at_what_has_not_changed_imports_no_tool_and_is_cheap(plugin, repo):
    cursor = collected(repo).cursor
    code = (
        "import sys, time; from pathlib import Path\n"
        "from unified_mlops_feast.plugin import FeastPlugin\n"
        f"p = FeastPlugin(workspace=Path({str(repo.parent)!r}))\n"
        f"found = p.mlops_collect_lineage(cursor={cursor!r})\n"
        "assert found.observations == () and found.cursor\n"
        "begin = time.process_time(); p.mlops_collect_lineage(cursor=found.cursor)\n"
        "assert time.process_time() - begin < 0.2\n"
        "assert not {'feast', 'pandas', 'sqlalchemy', 'google.protobuf'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_two_registries_of_one_project_name_share_nothing_but_their_files(plugin, repo, edit):
    one = collected(repo)
    settings = repo / "feature_store.yaml"
    settings.write_text(settings.read_text().replace("data/registry.db", "data/other.db"))
    FeastPlugin(workspace=repo.parent).mlops_apply_features()
    other = collected(repo, one.cursor)
    shared = {o.key for o in one.observations} & {o.key for o in other.observations}
    nodes = [{n.uri for o in each.observations for n in o.nodes} for each in (one, other)]
    assert not shared and len(one.observations) == len(other.observations)
    assert {uri.partition(":")[0] for uri in nodes[0] & nodes[1]} == {"file"}


def test_a_registry_that_went_away_leaves_the_cursor_where_it_was(plugin, repo):
    cursor = collected(repo).cursor
    (repo / "data" / "registry.db").rename(repo / "data" / "aside.db")
    assert collected(repo, cursor) == Collection((), cursor)


def test_a_cursor_that_is_not_ours_begins_anew(plugin, repo):
    whole = collected(repo).observations
    for cursor in ("0" * 64, "rubbish", "[]", json.dumps({"root": "feast://other/p"})):
        assert collected(repo, cursor).observations == whole


@pytest.mark.parametrize("content", [b"", b"\xff\xff rubbish", "half"])
def test_a_registry_that_is_empty_half_written_or_none_is_said(plugin, repo, content):
    file = repo / "data" / "registry.db"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(BackendError, match="half-written") as caught:
        collected(repo)
    assert f"feast -c {repo} apply" in caught.value.hint


@pytest.mark.parametrize("text", ["project: [", "- a list", "provider: local", "project: 7"])
def test_settings_that_cannot_be_used_are_said(plugin, repo, text):
    (repo / "feature_store.yaml").write_text(text)
    with pytest.raises(ConfigError, match="feature_store") as caught:
        collected(repo)
    assert caught.value.hint == f"mend {repo / 'feature_store.yaml'}"


def test_a_sql_registry_that_is_not_there_is_not_made(repo):
    on_sql(repo, f"sqlite:///{repo}/data/none.sqlite")
    assert collected(repo) == Collection((), None)
    assert not (repo / "data" / "none.sqlite").exists()


def test_a_database_of_something_else_is_no_registry(repo):
    path = repo / "data" / "else.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (id TEXT)")
    on_sql(repo, f"sqlite:///{path}")
    with pytest.raises(BackendError, match="not Feast's"):
        collected(repo)
    path.write_bytes(b"rubbish" * 1000)
    with pytest.raises(BackendError, match="corrupted"):
        collected(repo)


def test_a_locked_database_is_said(repo):
    path = repo / "data" / "registry.sqlite"
    on_sql(repo, f"sqlite:///{path}?timeout=0.1")
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE feature_views (id TEXT)")
    connection.commit()
    connection.execute("BEGIN EXCLUSIVE")
    begin = time.monotonic()
    with pytest.raises(BackendError, match="locked"):
        collected(repo)
    assert time.monotonic() - begin < 20
    connection.close()


def test_a_server_that_cannot_be_reached_is_named_without_its_password(repo):
    on_sql(repo, "postgresql://me:PLANTED@127.0.0.1:1/w?connect_timeout=1")
    with pytest.raises((BackendError, ConfigError)) as caught:
        collected(repo)
    assert "postgresql://127.0.0.1:1/w" in str(caught.value)
    assert "PLANTED" not in str(caught.value) and caught.value.hint
