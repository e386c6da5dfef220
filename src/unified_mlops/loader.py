"""Entry points → plugin instances. One broken plugin is kept as a finding and stops nobody."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from unified_mlops import hookspecs
from unified_mlops.config import Config, unknown_key
from unified_mlops.errors import (
    ConfigError,
    PluginContractError,
    PluginError,
    PluginLoadError,
    PluginNotFoundError,
)
from unified_mlops.hookspecs import PROJECT, SPECS, Hooks

GROUP = "unified_mlops.plugins"
ALLOWED = "UNIFIED_MLOPS_PLUGINS"
"""The variable that lists the plugins to load, by name; unset loads every installed one."""

Factory = Callable[..., object]


class Manager(pluggy.PluginManager):
    """pluggy's manager, for which overriding a hook is implementing it: no decorator needed."""

    def __init__(self) -> None:
        super().__init__(PROJECT)
        self.add_hookspecs(Hooks)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        """Options of a hook implementation, or None for anything else."""
        options = super().parse_hookimpl_opts(plugin, name)
        if options is None and name.startswith("mlops_") and _overrides(plugin, name):
            return pluggy.HookimplOpts(
                wrapper=False,
                hookwrapper=False,
                optionalhook=False,
                tryfirst=False,
                trylast=False,
                specname=None,
            )
        return options


@dataclass
class Loaded:
    """The plugins of one session, and what was wrong with those that could not be loaded."""

    manager: Manager = field(default_factory=Manager)
    broken: dict[str, PluginError] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The loaded plugins by name."""
        return sorted(name for name, plugin in self.manager.list_name_plugin() if plugin)

    def add(self, name: str, factory: Factory, config: Config) -> None:
        """Construct a plugin from its settings and register it.

        Raises:
            ConfigError: a setting that its constructor does not take, or a value that it refuses.
            PluginLoadError: its constructor raised.
            PluginContractError: a method that no hook has, or with other arguments.
        """
        settings = config.plugins.get(name, {})
        known = [key for key in inspect.signature(factory).parameters if key != "workspace"]
        for key in settings:
            if key not in known:
                raise unknown_key(key, known, f"[plugins.{name}]")
        try:
            plugin = factory(workspace=config.workspace, **settings)
        except ConfigError:
            raise
        except Exception as error:
            raise _load_error(name, error) from error
        check_contract(name, plugin)
        self.manager.register(plugin, name)


def load(config: Config, factories: Mapping[str, Factory] | None = None) -> Loaded:
    """Load the installed plugins that the environment allows, and what is passed beside them.

    Args:
        config: the session's settings.
        factories: plugin classes by name, instead of the installed ones.
    """
    loaded = Loaded()
    for name, factory in _factories(factories, loaded):
        try:
            loaded.add(name, factory, config)
        except PluginError as error:
            loaded.broken[name] = error
    known = [*loaded.names, *loaded.broken]
    for name in config.plugins:
        if name not in known:
            raise missing_plugin(name, known)
    for noun, name in config.providers.items():
        if noun not in hookspecs.NOUNS:
            raise unknown_key(noun, list(hookspecs.NOUNS), "[providers]")
        if name not in known:
            raise missing_plugin(name, known)
    return loaded


def missing_plugin(name: str, known: list[str]) -> PluginNotFoundError:
    """The error for a plugin that is named and not there."""
    have = ", ".join(sorted(known)) or "none"
    near = get_close_matches(str(name), known, 1)
    install = f"pip install unified-mlops-{name}, and see that {ALLOWED} allows it"
    return PluginNotFoundError(
        f"no plugin {name!r} is loaded (loaded: {have})",
        hint=f"did you mean {near[0]!r}?" if near else install,
    )


def check_contract(name: str, plugin: object) -> None:
    """See that each method that looks like a hook fits one.

    Raises:
        PluginContractError: naming plugin, hook and the offending signature.
    """
    for hook in (attribute for attribute in dir(plugin) if attribute.startswith("mlops_")):
        method = getattr(type(plugin), hook, None) or getattr(plugin, hook)
        if hook not in SPECS:
            raise PluginContractError(
                f"plugin {name!r} has {hook!r}, which is no hook", hint=f"hooks: {', '.join(SPECS)}"
            )
        taken = inspect.signature(method).parameters
        allowed = inspect.signature(SPECS[hook]).parameters
        extra = [parameter for parameter in taken if parameter not in allowed]
        defaults = [p.name for p in taken.values() if p.default is not p.empty]
        if extra or defaults:
            raise PluginContractError(
                f"plugin {name!r} does not fit hook {hook!r}\n"
                f"  has:  {inspect.signature(method)}\n  spec: {inspect.signature(SPECS[hook])}",
                hint="take only the spec's arguments, without defaults",
            )


def _factories(
    given: Mapping[str, Factory] | None, loaded: Loaded
) -> Iterator[tuple[str, Factory]]:
    if given is not None:
        yield from given.items()
        return
    allowed = os.environ.get(ALLOWED)
    names = None if allowed is None else {name.strip() for name in allowed.split(",")}
    for point in entry_points(group=GROUP):
        if names is not None and point.name not in names:
            continue
        try:
            yield point.name, _import(point)
        except PluginLoadError as error:
            loaded.broken[point.name] = error


def _import(point: EntryPoint) -> Factory:
    try:
        factory: Factory = point.load()
    except Exception as error:
        raise _load_error(point.name, error) from error
    return factory


def _load_error(name: str, error: Exception) -> PluginLoadError:
    return PluginLoadError(
        f"plugin {name!r} could not be loaded: {type(error).__name__}: {error}",
        hint=f"pip install --upgrade unified-mlops-{name}, or leave it out of {ALLOWED}",
    )


def _overrides(plugin: object, name: str) -> bool:
    method = getattr(type(plugin), name, None)
    return callable(method) and getattr(method, "__module__", "") != hookspecs.__name__
