"""A session of the memory plugin: resources are tested on it, the tools in the stories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from unified_mlops.config import Config
from unified_mlops.current import use_session
from unified_mlops.session import Session
from unified_mlops.testing import MemoryPlugin


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    config = Config(workspace=tmp_path / "w", experiment="e")
    session = use_session(Session(config, plugins={"memory": MemoryPlugin}))
    yield session
    session.close()
