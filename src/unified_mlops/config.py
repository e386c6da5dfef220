"""Settings: keyword > environment > `unified_mlops.toml` > embedded default; frozen once read."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from unified_mlops.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

FILE = "unified_mlops.toml"
PREFIX = "UNIFIED_MLOPS_"
WORKER = f"{PREFIX}SESSION"
"""The variable by which a worker process gets its caller's settings and run."""

TEMPLATE = """\
# Everything this project keeps lies below `workspace`, each part in its tool's own form.
workspace = "workspace"
# experiment = "my-experiment"

# One noun served by several plugins? Say by which:  [providers]  task = "kfp"
# A plugin's settings:  [plugins.mlflow]  tracking_uri = "http://localhost:5000"
# A graph that several share:  [lineage]  url = "postgresql://user@host/database"
"""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a session is built from.

    Args:
        workspace: the folder below which the embedded tools keep their stores.
        experiment: the experiment that runs belong to unless they name one.
        providers: the plugin that serves a noun, where several could.
        plugins: constructor keywords of each plugin.
        lineage: `url` of the graph's database instead of `lineage.db` in the workspace;
            `without`, the stitch rules that are switched off.
        pipelines: `runner`, where pipelines run unless they say; `secrets`, by name and key the
            place of each: `env:VARIABLE` or `file:PATH`.
    """

    workspace: Path = Path("workspace")
    experiment: str | None = None
    providers: Mapping[str, str] = field(default_factory=dict)
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lineage: Mapping[str, Any] = field(default_factory=dict)
    pipelines: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        workspace = Path(self.workspace).expanduser().absolute()
        object.__setattr__(self, "workspace", workspace)
        object.__setattr__(self, "providers", MappingProxyType(dict(self.providers)))
        object.__setattr__(self, "plugins", MappingProxyType(dict(self.plugins)))
        object.__setattr__(self, "lineage", MappingProxyType(dict(self.lineage)))
        object.__setattr__(self, "pipelines", MappingProxyType(dict(self.pipelines)))

    @classmethod
    def load(cls, **keywords: Any) -> Config:
        """Read the settings that apply here.

        Args:
            keywords: fields of this class; None means not given.

        Raises:
            ConfigError: a key is unknown, a value of the wrong type, or the file is not TOML.
        """
        given = {key: value for key, value in keywords.items() if value is not None}
        worker = os.environ.get(WORKER)
        base = from_worker(worker)[0] if worker else cls(**_merge(_read_file(), _environment()))
        return base.with_settings(**given)

    def with_settings(self, **keywords: Any) -> Config:
        """A copy with some settings replaced, and mappings merged key by key.

        Raises:
            ConfigError: a key is unknown, or a value of the wrong type.
        """
        _check_keys(keywords, "the call")
        return replace(self, **_merge(self._settings(), keywords))

    def to_env(self, run: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables from which a worker process rebuilds this config.

        Args:
            run: `experiment` and `name` of the run that the worker belongs to.
        """
        settings = self._settings() | {"workspace": str(self.workspace)}
        return {WORKER: json.dumps({"config": settings, "run": dict(run or {})})}

    def _settings(self) -> dict[str, Any]:
        found = {item.name: getattr(self, item.name) for item in fields(self)}
        found["providers"] = dict(self.providers)
        found["plugins"] = {name: dict(keys) for name, keys in self.plugins.items()}
        found["lineage"] = dict(self.lineage)
        found["pipelines"] = dict(self.pipelines)
        return found


def from_worker(text: str) -> tuple[Config, dict[str, str]]:
    """The config and the run that `Config.to_env` wrote."""
    try:
        stored = json.loads(text)
        return Config(**stored["config"]), stored["run"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"the variable {WORKER} does not hold a session", hint=f"unset {WORKER}"
        ) from error


def _read_file() -> dict[str, Any]:
    """The nearest settings file at or above the working directory; its paths start from it."""
    here = Path.cwd()
    path = next((p / FILE for p in (here, *here.parents) if (p / FILE).is_file()), None)
    if path is None:
        return {}
    try:
        settings = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{str(path)!r} is not valid TOML: {error}", hint=f"mend {path}"
        ) from error
    _check_keys(settings, str(path))
    if "workspace" in settings:
        settings["workspace"] = path.parent / settings["workspace"]
    return settings


def _environment() -> dict[str, Any]:
    """`UNIFIED_MLOPS_WORKSPACE`, `…_EXPERIMENT`, `…_LINEAGE_URL` and `…_<PLUGIN>__<KEY>`."""
    settings: dict[str, Any] = {}
    for variable, value in os.environ.items():
        name = variable.removeprefix(PREFIX).lower()
        if variable in (f"{PREFIX}WORKSPACE", f"{PREFIX}EXPERIMENT"):
            settings[name] = value
        elif variable == f"{PREFIX}LINEAGE_URL":
            settings["lineage"] = {"url": value}
        elif variable.startswith(PREFIX) and "__" in name:
            plugin, key = name.split("__", 1)
            settings.setdefault("plugins", {}).setdefault(plugin, {})[key] = value
    return settings


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


_FORMS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "workspace": ((str, Path), 'workspace = "workspace"'),
    "experiment": (str, 'experiment = "my-experiment"'),
    "providers": (Mapping, '[providers], and below it lines such as: task = "kfp"'),
    "plugins": (Mapping, "[plugins.<name>], and below it the plugin's settings"),
    "lineage": (Mapping, '[lineage], and below it lines such as: url = "postgresql://…"'),
    "pipelines": (Mapping, '[pipelines], and below it lines such as: runner = "ray"'),
}
"""What a setting must be, and how to write it."""


def _check_keys(settings: Mapping[str, Any], where: str) -> None:
    for key, value in settings.items():
        if key not in _FORMS:
            raise unknown_key(key, list(_FORMS), where)
        kind, form = _FORMS[key]
        if not isinstance(value, kind):
            raise ConfigError(f"{key!r} in {where} is {value!r}", hint=f"write {form}")
    for part, known in (("lineage", ["url", "without"]), ("pipelines", ["runner", "secrets"])):
        for key in settings.get(part, {}):
            if key not in known:
                raise unknown_key(key, known, f"[{part}] in {where}")
    for name, keys in settings.get("plugins", {}).items():
        if not isinstance(keys, Mapping):
            fact = f"{name!r} below [plugins] in {where} is {keys!r}"
            raise ConfigError(fact, hint=f"write [plugins.{name}], and below it its settings")


def unknown_key(key: str, known: list[str], where: str) -> ConfigError:
    """The error for a key that nobody reads, naming the nearest one and all the others."""
    near = get_close_matches(key, known, 1)
    start = f"did you mean {near[0]!r}? " if near else ""
    return ConfigError(
        f"unknown key {key!r} in {where}", hint=f"{start}valid keys: {', '.join(sorted(known))}"
    )
