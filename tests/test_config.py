import json
import os
from pathlib import Path

import pytest

from unified_mlops.config import FILE, TEMPLATE, WORKER, Config
from unified_mlops.errors import ConfigError


def test_defaults_need_nothing(tmp_path: Path) -> None:
    config = Config.load()
    assert config.workspace == tmp_path / "workspace"
    assert config.experiment is None


def test_keyword_beats_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / FILE).write_text('experiment = "file"\nworkspace = "from_file"\n')
    assert Config.load().experiment == "file"
    assert Config.load().workspace == tmp_path / "from_file"
    monkeypatch.setenv("UNIFIED_MLOPS_EXPERIMENT", "environment")
    assert Config.load().experiment == "environment"
    assert Config.load(experiment="keyword").experiment == "keyword"


def test_file_is_found_from_a_folder_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FILE).write_text(TEMPLATE)
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    assert Config.load().workspace == tmp_path / "workspace"


def test_a_plugin_setting_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIFIED_MLOPS_MLFLOW__TRACKING_URI", "http://localhost:5000")
    assert Config.load().plugins["mlflow"]["tracking_uri"] == "http://localhost:5000"


def test_settings_of_one_plugin_merge_key_by_key() -> None:
    config = Config(plugins={"a": {"x": 1}}).with_settings(plugins={"a": {"y": 2}, "b": {"z": 3}})
    assert config.plugins == {"a": {"x": 1, "y": 2}, "b": {"z": 3}}


def test_an_unknown_key_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('experimnet = "x"\n')
    with pytest.raises(
        ConfigError, match="unknown key 'experimnet'.*\n.*did you mean 'experiment'"
    ):
        Config.load()


def test_an_unknown_keyword_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown key 'project'"):
        Config.load(project="p")


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("experiment = [")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        Config.load()


def test_a_worker_rebuilds_the_config_from_its_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = Config(workspace=tmp_path / "w", experiment="e", plugins={"a": {"x": 1}})
    for key, value in config.to_env({"experiment": "e", "name": "r"}).items():
        monkeypatch.setenv(key, value)
    assert Config.load() == config
    assert json.loads(os.environ[WORKER])["run"] == {"experiment": "e", "name": "r"}


def test_a_broken_worker_variable_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(WORKER, "{")
    with pytest.raises(ConfigError, match=WORKER):
        Config.load()
