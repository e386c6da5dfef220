"""The session: config and loaded plugins, and the only caller of hooks."""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import pluggy

from unified_mlops.config import WORKER, Config, from_worker, unknown_key
from unified_mlops.errors import (
    AmbiguousPluginError,
    ArgumentError,
    ArgumentTypeError,
    ConfigError,
    UnifiedMLOpsError,
    UnsupportedError,
)
from unified_mlops.hookspecs import NOUN_OF, LineageHooks, RunHooks
from unified_mlops.lineage.api import Lineage
from unified_mlops.lineage.declare import derive_event
from unified_mlops.lineage.stitch import RULES
from unified_mlops.loader import ALLOWED, Factory, Loaded, load, missing_plugin
from unified_mlops.records import Collection, Record, Ref, RunRecord

P = ParamSpec("P")
R = TypeVar("R")
Hook = Callable[Concatenate[Any, P], R]

TRACE = "UNIFIED_MLOPS_TRACE"
"""The variable that, set to 1, logs every hook call with its plugin."""

logger = logging.getLogger("unified_mlops")


class PluginWarning(UserWarning):
    """A plugin that only listens failed; the one that owns the record did not."""


@dataclass(frozen=True, slots=True)
class Told(Generic[R]):
    """What the plugins answered to `tell`, by plugin, and what went wrong with the others."""

    answers: Mapping[str, R] = field(default_factory=dict)
    failures: Mapping[str, Exception] = field(default_factory=dict)


class Session:
    """One configuration with its plugins; two sessions share nothing.

    Args:
        config: its settings; read from environment and file where left out.
        plugins: plugin classes by name, instead of the installed ones.

    Raises:
        ConfigError: an unknown key. A broken plugin raises only when it is asked.
    """

    def __init__(
        self, config: Config | None = None, *, plugins: Mapping[str, Factory] | None = None
    ) -> None:
        self.config = config or Config.load()
        self._factories = plugins
        self._loaded: Loaded = load(self.config, plugins)
        self._run: ContextVar[RunRecord | None] = ContextVar("run", default=None)
        self.lineage = _lineage(self.config, self._collect)

    def ask(self, hook: Hook[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a hook of exactly one plugin and record what it read and wrote.

        The plugin is the one that owns the first argument, else the config's provider of the
        noun, else the only one that overrides the hook.

        Args:
            hook: a hook specification, such as `RunHooks.mlops_get_run`.
            args: none; hooks take keywords.
            kwargs: the hook's arguments.

        Raises:
            UnsupportedError: nobody overrides the hook; names who would.
            AmbiguousPluginError: several do and nothing says which.
        """
        arguments = _keywords(hook, args, kwargs)
        answer: R = self._call(self.route(hook, arguments), hook, arguments)
        self._record(hook, arguments, answer)
        return answer

    def tell(self, hook: Hook[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Told[R]:
        """Call a hook of every plugin that overrides it, each on its own.

        Where the plugin that owns the first argument fails, its error is raised after all were
        told. Any other failure is a warning, or the caller's to read where there is no owner.

        Args:
            hook: a hook specification.
            args: none; hooks take keywords.
            kwargs: the hook's arguments.
        """
        arguments = _keywords(hook, args, kwargs)
        owner = _owner(hook, arguments)
        if owner:
            self.route(hook, arguments)
        told: Told[R] = self._each(hook, dict.fromkeys(self.plugins, arguments), owner)
        if owner and owner in told.failures:
            raise told.failures[owner]
        if owner:
            for plugin, error in told.failures.items():
                message = f"plugin {plugin!r} failed in {hook.__name__}: {error}"
                warnings.warn(message, PluginWarning, stacklevel=3)
        self._record(hook, arguments, None)
        return told

    def note(self, hook: Callable[..., Any], answer: Any) -> None:
        """Record what a hook would have read and written, where its answer is known already."""
        self._record(hook, {}, answer)

    def route(self, hook: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
        """The name of the one plugin that `ask` would call."""
        able = self.implementers(hook)
        noun = NOUN_OF[hook.__name__]
        chosen = _owner(hook, arguments) or self.config.providers.get(noun)
        if chosen in able:
            return str(chosen)
        if chosen is not None and chosen in self._loaded.broken:
            raise self._loaded.broken[chosen]
        if chosen is not None and chosen not in self.plugins:
            raise missing_plugin(chosen, self.plugins)
        if chosen is not None or not able:
            raise self._unsupported(hook, chosen, able)
        if len(able) > 1:
            raise AmbiguousPluginError(
                f"{' and '.join(map(repr, able))} both serve {noun!r}",
                hint=f'write {noun} = "{able[0]}" below [providers] in unified_mlops.toml',
            )
        return able[0]

    def implementers(self, hook: Callable[..., Any]) -> list[str]:
        """The plugins that override a hook, by name."""
        return sorted(
            implementation.plugin_name
            for implementation in self._caller(hook).get_hookimpls()
            if not (implementation.wrapper or implementation.hookwrapper)
        )

    @property
    def plugins(self) -> list[str]:
        """The loaded plugins by name."""
        return self._loaded.names

    @property
    def broken(self) -> Mapping[str, UnifiedMLOpsError]:
        """The plugins that could not be loaded, and why."""
        return self._loaded.broken

    @property
    def run(self) -> RunRecord | None:
        """The run that is active here: started here, or by whoever started this worker."""
        active = self._run.get()
        stored = os.environ.get(WORKER)
        if active is None and stored and (key := from_worker(stored)[1]):
            active = self.ask(
                RunHooks.mlops_get_run, experiment=key["experiment"], name=key["name"]
            )
            self._run.set(active)
        return active

    @run.setter
    def run(self, run: RunRecord | None) -> None:
        self._run.set(run)

    def to_env(self, run: RunRecord | None = None) -> dict[str, str]:
        """The variables by which a worker gets this session, and a run to belong to."""
        if self._factories is not None:
            raise ConfigError(
                "a session with plugin classes of its own cannot be rebuilt in a worker",
                hint="install the plugin with an entry point in 'unified_mlops.plugins'",
            )
        run = run or self.run
        env = self.config.to_env({"experiment": run.experiment, "name": run.name} if run else None)
        return env | {key: os.environ[key] for key in (ALLOWED, TRACE) if key in os.environ}

    def close(self) -> None:
        """Write what waits. The session can go on being used."""
        self.lineage.close()

    def _collect(self, cursors: Mapping[str, str | None]) -> Told[Collection]:
        """Ask each collector for what is new since its own cursor."""
        hook = LineageHooks.mlops_collect_lineage
        return self._each(hook, {name: {"cursor": cursors.get(name)} for name in self.plugins})

    def _each(
        self,
        hook: Callable[..., Any],
        arguments: Mapping[str, Mapping[str, Any]],
        owner: str | None = None,
    ) -> Told[Any]:
        """Call a hook of every plugin that overrides it; what the owner refuses reaches nobody."""
        answers: dict[str, Any] = {}
        failures: dict[str, Exception] = {}
        for plugin in sorted(self.implementers(hook), key=lambda name: name != owner):
            try:
                answers[plugin] = self._call(plugin, hook, arguments[plugin])
            except Exception as error:  # noqa: BLE001  one failing plugin never stops another
                failures[plugin] = error
                if plugin == owner and isinstance(error, ArgumentError | ArgumentTypeError):
                    break
        return Told(answers, failures)

    def _caller(self, hook: Callable[..., Any]) -> pluggy.HookCaller:
        caller: pluggy.HookCaller = getattr(self._loaded.manager.hook, hook.__name__)
        return caller

    def _call(self, plugin: str, hook: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        others = [
            implementation.plugin
            for implementation in self._caller(hook).get_hookimpls()
            if implementation.plugin_name != plugin
            and not (implementation.wrapper or implementation.hookwrapper)
        ]
        caller = self._loaded.manager.subset_hook_caller(hook.__name__, others)
        if os.environ.get(TRACE) == "1":
            logger.warning("%s -> %s", hook.__name__, plugin)
        try:
            answers = caller(**arguments)  # pluggy leaves an answer of None out
            return answers[0] if answers else None
        except UnifiedMLOpsError:
            raise
        except Exception as error:
            if hasattr(error, "add_note"):  # Python 3.11
                error.add_note(f"plugin {plugin!r} was asked {hook.__name__}")
            raise

    def _record(self, hook: Callable[..., Any], arguments: Mapping[str, Any], answer: Any) -> None:
        event = derive_event(hook, arguments, answer, self._active_ref())
        if event is not None:
            self.lineage.record(event)

    def _active_ref(self) -> Ref | None:
        active = self._run.get()
        return active.ref if active else None

    def _unsupported(
        self, hook: Callable[..., Any], chosen: str | None, able: Sequence[str]
    ) -> UnifiedMLOpsError:
        who = f"plugin {chosen!r} does not support" if chosen else "no loaded plugin supports"
        broken = f"{', '.join(self.broken)} could not be loaded, see: umlops doctor"
        install = broken if self.broken else "pip install 'unified-mlops[all]'"
        offer = f"{', '.join(able)} can" if able else install
        return UnsupportedError(f"{who} {hook.__name__}", hint=offer)


def _lineage(
    config: Config, collect: Callable[[Mapping[str, str | None]], Told[Collection]]
) -> Lineage:
    """The graph of a config. Where it is shared, cursors are of the config's own stores."""
    given = config.lineage.get("without", ())
    without = [given] if isinstance(given, str) else given
    for rule in without:
        if rule not in RULES:
            raise unknown_key(rule, list(RULES), "'without' below [lineage]")
    url = config.lineage.get("url")
    own = repr((str(config.workspace), sorted(config.plugins.items())))
    source = hashlib.sha256(own.encode()).hexdigest()[:12] if url else ""
    place = url or config.workspace / "lineage.db"
    return Lineage(place, collect, without, source)


def _keywords(hook: Callable[..., Any], args: Any, kwargs: Any) -> dict[str, Any]:
    if args:
        raise ArgumentError(f"{hook.__name__} takes keywords only", hint=f"{hook.__name__}(name=…)")
    return dict(kwargs)


def _owner(hook: Callable[..., Any], arguments: Mapping[str, Any]) -> str | None:
    """The plugin that owns the first argument, where that is a record or a ref."""
    names = list(inspect.signature(hook).parameters)[1:]
    first = arguments.get(names[0]) if names else None
    if isinstance(first, Sequence) and not isinstance(first, str) and first:
        first = first[0]
    if isinstance(first, Record):
        first = first.ref
    return first.plugin if isinstance(first, Ref) else None
