"""Fixtures that every test may use, and an environment that no test inherits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .servers import browser, postgres_database, postgres_url  # noqa: F401 - fixtures for every test

pytest_plugins = ["pytester"]

# A busy machine is no finding.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test starts in an empty folder, with none of our variables set."""
    for name in [name for name in os.environ if name.startswith("UNIFIED_MLOPS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _no_session_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a process of its own, as far as sessions go."""
    from contextvars import ContextVar

    from unified_mlops import current

    monkeypatch.setattr(current, "_first", [])
    monkeypatch.setattr(current, "_current", ContextVar("session", default=None))
