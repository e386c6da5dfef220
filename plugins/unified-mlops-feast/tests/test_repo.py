"""Applying definitions, and sharing the repo with Feast's own command line."""

import inspect
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path

import pytest

from unified_mlops.errors import (
    ArgumentError,
    BackendError,
    ConfigError,
    NotFoundError,
    UnsupportedError,
)
from unified_mlops.records import Collection, Ref
from unified_mlops_feast.plugin import FeastPlugin

START = datetime(2024, 1, 1, tzinfo=timezone.utc)


def test_apply_writes_the_embedded_settings_and_returns_the_views_by_name(repo):
    plugin = FeastPlugin(workspace=repo.parent)
    comfort, planes, weather = plugin.mlops_apply_features()
    assert [view.name for view in (comfort, planes, weather)] == ["comfort", "planes", "weather"]
    assert "type: duckdb" in (repo / "feature_store.yaml").read_text()
    assert (repo / "data" / "registry.db").exists()
    assert weather.entities == ("code",)
    assert weather.features == ("wind", "temperature")
    assert weather.source == f"file://{repo}/data/weather.parquet"
    assert weather.description == "hourly weather"
    assert weather.labels == {"team": "ops"}
    assert re.search("/feature_repo/featureView/weather@[0-9a-f]{12}$", weather.ref.uri)
    assert (comfort.entities, comfort.source) == (("code",), "")


def test_apply_prints_nothing_and_leaves_the_process_as_it_was(repo, capfd):
    before = Path.cwd(), list(sys.path), sys.dont_write_bytecode
    FeastPlugin(workspace=repo.parent).mlops_apply_features()
    assert (Path.cwd(), sys.path, sys.dont_write_bytecode) == before
    assert "definitions" not in sys.modules
    assert capfd.readouterr() == ("", "")


def test_apply_follows_edits_and_deletions(plugin, edit):
    edit("hourly weather", "weather by the hour")
    edit('delay = FeatureService(name="delay", features=[weather[["wind"]], planes])', "del planes")
    views = plugin.mlops_apply_features()
    assert [view.name for view in views] == ["comfort", "weather"]
    assert views[1].description == "weather by the hour"


def test_apply_names_the_line_of_a_broken_definition(repo, edit):
    edit("asked = RequestSource", "asked = RequestSauce")
    with pytest.raises(ArgumentError, match="NameError") as caught:
        FeastPlugin(workspace=repo.parent).mlops_apply_features()
    assert "definitions.py:" in caught.value.hint
    assert not (repo / "data" / "registry.db").exists()


def test_apply_reports_what_feast_would_print_before_it_exits(plugin, edit):
    edit("asked = Req", 'from feast import Project\nother = Project(name="other")\nasked = Req')
    with pytest.raises(ArgumentError, match="Project object name should match"):
        plugin.mlops_apply_features()


def test_a_repo_that_is_not_there_is_said_and_not_made(tmp_path):
    plugin = FeastPlugin(workspace=tmp_path / "new")
    with pytest.raises(NotFoundError):
        plugin.mlops_apply_features()
    with pytest.raises(NotFoundError, match="no features were applied"):
        plugin.mlops_list_features()
    assert plugin.mlops_collect_lineage(cursor=None) == Collection((), None)
    assert not (tmp_path / "new").exists()


def test_a_repo_that_was_never_applied_gets_no_registry_by_being_read(repo):
    plugin = FeastPlugin(workspace=repo.parent)
    (repo / "feature_store.yaml").write_text("project: p\nprovider: local\nregistry: data/r.db\n")
    with pytest.raises(NotFoundError, match="no features were applied"):
        plugin.mlops_list_features()
    assert plugin.mlops_collect_lineage(cursor=None) == Collection((), None)
    assert not (repo / "data" / "r.db").exists()


def test_a_corrupted_registry_and_bad_settings_are_told_apart(plugin, repo):
    (repo / "data" / "registry.db").write_bytes(b"\xff\xff rubbish")
    with pytest.raises(BackendError, match="corrupted"):
        plugin.mlops_list_features()
    (repo / "feature_store.yaml").write_text("project: [")
    with pytest.raises(ConfigError, match="feature_store"):
        plugin.mlops_list_features()


def test_a_sql_registry_serves_as_well(repo):
    (repo / "feature_store.yaml").write_text(
        "project: flights\nprovider: local\noffline_store: {type: duckdb}\n"
        "entity_key_serialization_version: 3\n"
        f"registry: {{registry_type: sql, path: 'sqlite:///{repo}/data/registry.sqlite'}}\n"
        f"online_store: {{type: sqlite, path: data/online.db}}\n"
    )
    plugin = FeastPlugin(workspace=repo.parent)
    assert [view.name for view in plugin.mlops_apply_features()] == ["comfort", "planes", "weather"]
    keys = [found.key for found in plugin.mlops_collect_lineage(cursor=None).observations]
    assert plugin.mlops_list_features()[2].ref.uri in keys


CLI = """
import sys
from feast.cli.cli import cli
for line in sys.argv[1].split(";"):
    cli(line.split(), standalone_mode=False)
"""


def test_the_feast_command_line_works_on_the_same_repo_both_ways(plugin, repo, edit):
    edit("delay = Feat", 'spare = FeatureService(name="spare", features=[planes])\ndelay = Feat')
    edit('name="planes",', 'name="aircraft",')
    weather = plugin.mlops_list_features()[2]
    hours = timedelta(hours=1)
    plugin.mlops_materialize_features(views=[weather], start=START, end=START + hours)
    incremental = "materialize-incremental 2024-01-01T09:00:00 -v weather"
    lines = ("feature-views list", incremental, "apply")
    command = ";".join(f"-c {repo} {line}" for line in lines)
    done = subprocess.run(  # one process: each costs Feast's start of many seconds
        [sys.executable, "-c", CLI, command], cwd=repo, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "weather" in done.stdout and "planes" in done.stdout
    views = plugin.mlops_list_features()
    assert [view.name for view in views] == ["aircraft", "comfort", "weather"]
    rows = plugin.mlops_read_online(
        views=views, features=["weather:temperature"], entities=[{"code": "LGA"}]
    )
    assert rows == [{"temperature": 109}]
    keys = [found.key for found in plugin.mlops_collect_lineage(cursor=None).observations]
    end = "2024-01-01T09:00:00+00:00"
    copied = f"/materialization/weather/2024-01-01T00:59:59.999999+00:00--{end}"
    assert any(key.endswith(copied) for key in keys)


def test_apply_calls_the_unpublished_function_of_feast_0_67_as_it_is():
    from feast.repo_operations import apply_total

    expected = ["repo_config", "repo_path", "skip_source_validation"]
    assert list(inspect.signature(apply_total).parameters)[:3] == expected
    assert version("feast").startswith("0.67."), "look at repo_operations.apply_total again"


def test_a_forked_process_opens_the_store_anew(materialized):
    views, first = materialized.mlops_list_features(), materialized._repo.open()
    asked = {"features": ["planes:seats"], "entities": [{"tailnum": "N2"}]}
    child = os.fork()
    if child == 0:
        again = materialized._repo.open()
        rows = materialized.mlops_read_online(views=views, **asked)
        os._exit(0 if again is not first and rows == [{"seats": 20}] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert materialized._repo.open() is first


def test_native_objects_are_feasts_own(plugin):
    from feast import FeatureStore, FeatureView

    weather = plugin.mlops_list_features()[2]
    project = Ref("feast", "project", "feature_repo", weather.ref.uri.rpartition("/feat")[0])
    view = plugin.mlops_get_native(ref=weather.ref)
    assert isinstance(view, FeatureView) and view.ttl == timedelta(hours=3)
    store = plugin.mlops_get_native(ref=project)
    assert isinstance(store, FeatureStore)
    assert store.mlflow is None, "Feast's own logging to MLflow costs an online read 20-50 ms"
    with pytest.raises(NotFoundError):
        plugin.mlops_get_native(ref=Ref("feast", "feature_view", "gone", "feast://x"))
    with pytest.raises(UnsupportedError):
        plugin.mlops_get_native(ref=Ref("feast", "dataset", "x", "file:///x"))


def test_importing_and_describing_the_plugin_imports_no_tool(tmp_path):
    code = (
        "import sys; from pathlib import Path; from unified_mlops_feast.plugin import FeastPlugin\n"
        f"p = FeastPlugin(workspace=Path({str(tmp_path)!r}))\n"
        "ui, check = p.mlops_describe_ui(), p.mlops_check_plugin()\n"
        "assert Path(ui.command[0]).exists() and '127.0.0.1' in ui.command and check.version\n"
        "assert not {'feast', 'pandas', 'numpy', 'pyarrow', 'sqlalchemy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not any(tmp_path.iterdir())
