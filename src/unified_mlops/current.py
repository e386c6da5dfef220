"""The session that is meant where none is named."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from unified_mlops.config import Config
from unified_mlops.session import Session

_current: ContextVar[Session | None] = ContextVar("session", default=None)
_first: list[Session] = []


def current_session() -> Session:
    """The session of this thread or task, else the process's first, else a new one."""
    session = _current.get() or (_first[0] if _first else None)
    return session or use_session(Session())


def init(
    *,
    experiment: str | None = None,
    workspace: str | Path | None = None,
    providers: Mapping[str, str] | None = None,
    plugins: Mapping[str, Mapping[str, Any]] | None = None,
) -> Session:
    """Set what the current session is built from; settings of earlier calls stay.

    Args:
        experiment: the experiment that runs belong to.
        workspace: the folder below which the embedded tools keep their stores.
        providers: the plugin that serves a noun, where several could.
        plugins: settings of each plugin.
    """
    before = _current.get() or (_first[0] if _first else None)
    given = {
        "experiment": experiment,
        "workspace": workspace,
        "providers": providers,
        "plugins": plugins,
    }
    settings = {key: value for key, value in given.items() if value is not None}
    config = before.config.with_settings(**settings) if before else Config.load(**settings)
    if before is not None:
        before.close()
        if config == before.config:
            return use_session(before)
    return use_session(Session(config))


def use_session(session: Session) -> Session:
    """Make a session the current one of this thread or task."""
    if not _first:
        _first.append(session)
    _current.set(session)
    return session
