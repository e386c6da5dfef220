from pathlib import Path
from typing import Any

import pytest

from unified_mlops.config import Config
from unified_mlops.errors import (
    ConfigError,
    PluginContractError,
    PluginLoadError,
    PluginNotFoundError,
)
from unified_mlops.hookspecs import PluginHooks
from unified_mlops.loader import ALLOWED, load
from unified_mlops.records import Check


class Good(PluginHooks):
    def __init__(self, workspace: Path, colour: str = "red") -> None:
        self.colour = colour

    def mlops_check_plugin(self) -> Check:
        return Check("good", "Good", "1", self.colour)


class Raises:
    def __init__(self, workspace: Path) -> None:
        raise RuntimeError("no licence")


class Misspelt(PluginHooks):
    def __init__(self, workspace: Path) -> None: ...

    def mlops_chek_plugin(self) -> Check:
        raise NotImplementedError


class Defaulted(PluginHooks):
    def __init__(self, workspace: Path) -> None: ...

    def mlops_check_plugin(self, quick: bool = True) -> Check:  # type: ignore[override]
        raise NotImplementedError


def test_overriding_is_implementing_without_a_decorator() -> None:
    caller = load(Config(), {"good": Good}).manager.hook.mlops_check_plugin
    assert [item.plugin_name for item in caller.get_hookimpls()] == ["good"]


def test_what_is_inherited_and_not_overridden_is_not_implemented() -> None:
    loaded = load(Config(), {"good": Good})
    assert not loaded.manager.hook.mlops_describe_ui.get_hookimpls()


def test_constructor_keywords_are_the_config_keys() -> None:
    loaded = load(Config(plugins={"good": {"colour": "blue"}}), {"good": Good})
    assert loaded.manager.get_plugin("good").colour == "blue"


def test_an_unknown_plugin_key_names_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'color' in \[plugins.good\]\n.*'colour'"):
        load(Config(plugins={"good": {"color": "blue"}}), {"good": Good})


def test_one_broken_plugin_does_not_stop_the_rest() -> None:
    loaded = load(Config(), {"good": Good, "bad": Raises})
    assert loaded.names == ["good"]
    assert isinstance(loaded.broken["bad"], PluginLoadError)
    assert "no licence" in str(loaded.broken["bad"])


@pytest.mark.parametrize(
    ("plugin", "said"), [(Misspelt, "is no hook"), (Defaulted, "does not fit hook")]
)
def test_a_plugin_that_does_not_fit_the_contract_is_named(plugin: Any, said: str) -> None:
    error = load(Config(), {"odd": plugin}).broken["odd"]
    assert isinstance(error, PluginContractError)
    assert "'odd'" in str(error)
    assert said in str(error)


def test_settings_for_a_plugin_that_is_not_there_are_an_error() -> None:
    with pytest.raises(PluginNotFoundError, match="no plugin 'gone' is loaded"):
        load(Config(plugins={"gone": {"x": 1}}), {"good": Good})


def test_an_unknown_noun_among_the_providers_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'runs' in \[providers\]\n.*'run'"):
        load(Config(providers={"runs": "good"}), {"good": Good})


def test_installed_plugins_are_found_by_their_entry_points() -> None:
    names = {"mlflow", "tensorboard", "feast", "evidently", "kfp", "ray"}
    loaded = load(Config())
    assert not loaded.broken
    assert names <= set(loaded.names)


def test_the_allow_list_variable_leaves_the_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOWED, "kfp, tensorboard")
    assert load(Config()).names == ["kfp", "tensorboard"]


def test_an_empty_allow_list_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOWED, "")
    assert load(Config()).names == []
