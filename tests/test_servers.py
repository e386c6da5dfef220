"""The servers that tests start: real ones, quick, and gone afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from . import servers

HOLDER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import servers
with servers.postgres(Path(sys.argv[2])) as url:
    print(url, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not `tmp_path`, which only its owner may enter."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        yield Path(folder)


def answers(url: str) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", make_url(url).port or 0)) == 0


def test_postgres_answers_starts_and_stops_within_seconds_and_is_gone(folder: Path) -> None:
    servers.debian("/usr/lib/postgresql/*/bin/postgres", "postgresql")
    start = time.monotonic()
    with servers.postgres(folder) as url:
        engine = create_engine(url)
        with engine.begin() as connection:
            assert connection.scalar(text("select 1 + 1")) == 2
    assert not answers(url)  # though a connection was still open in the pool
    engine.dispose()
    assert time.monotonic() - start < 5  # 0.9 s on a quiet machine


def test_postgres_refuses_a_wrong_password(postgres_url: str) -> None:
    engine = create_engine(make_url(postgres_url).set(password="wrong"))
    with pytest.raises(Exception, match="password authentication failed"), engine.connect():
        pass


def test_postgres_ends_when_its_owner_is_killed(folder: Path) -> None:
    place = str(Path(servers.__file__).parent)
    command = [sys.executable, "-c", HOLDER, place, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        url = holder.stdout.readline().strip()
        assert answers(url)
        os.kill(holder.pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while answers(url):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_cannot_be_installed_skips_the_test_and_fails_it_in_ci(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="apt-get install no-such-package"):
        servers.debian("no-such-program", "no-such-package")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install no-such-package"):
        servers.debian("no-such-program", "no-such-package")


def test_the_browser_knows_this_machine_only(browser: Chrome) -> None:
    browser.get("data:text/html,<title>here</title>")
    assert browser.title == "here"
    with pytest.raises(Exception, match="ERR_NAME_NOT_RESOLVED"):
        browser.get("http://example.com")
