"""Real servers for tests: a browser and PostgreSQL, from Debian where they are missing."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

_APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-qq")


def debian(program: str, package: str) -> str:
    """The path of a program, whose Debian package is installed where it is missing.

    Args:
        program: its name, or a pattern of paths of which the last is taken.
        package: the package that brings it.

    Where it cannot be installed the test is skipped; in CI (`CI=true`) it fails.
    """
    path = _find(program)
    if not path:
        with FileLock(Path(tempfile.gettempdir()) / "unified-mlops-apt.lock"):  # one at a time
            if not _find(program):
                _install(package)
        path = _find(program)
    return path or _missing(program, package)


def _find(program: str) -> str:
    if "/" not in program:
        return shutil.which(program) or ""
    return max(map(str, Path("/").glob(program.lstrip("/"))), default="")


@cache  # a package that could not be installed is not tried again for each test
def _install(package: str) -> None:
    """Install a package if we may; whether it is there afterwards is for the caller to see."""
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not all(shutil.which(name) for name in (*root[:1], "apt-get")):
        return
    for command in (["update"], ["install", "--no-install-recommends", package]):
        subprocess.run([*root, *_APT, *command], stdin=subprocess.DEVNULL, check=False)


def _missing(program: str, package: str) -> NoReturn:
    text = f"{program!r} is missing and could not be installed: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL server of our own on a free loopback port; yields its SQLAlchemy URL.

    It ends with this context, and also when this process is killed.

    Args:
        folder: an empty folder for it, whose parents every user may enter.
    """
    programs = Path(debian("/usr/lib/postgresql/*/bin/postgres", "postgresql")).parent
    password, port = secrets.token_hex(8), _free_port()
    word = folder / "password"
    word.write_text(password)
    become = _become(folder, word)
    data = folder / "data"
    subprocess.run(
        [
            *(*become, programs / "initdb", "-D", data, "-U", "tests", f"--pwfile={word}"),
            *("--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"),
        ],
        cwd="/",
        check=True,
        capture_output=True,
    )
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    with (folder / "log").open("wb") as log:
        command = [*become, "--pdeathsig=INT", programs / "postgres", "-D", data, *options]
        server = subprocess.Popen(command, cwd="/", stdout=log, stderr=log)
    try:
        _wait(server, port, password, folder / "log")
        yield f"postgresql+psycopg://tests:{password}@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown: clients are cut off
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _become(folder: Path, *files: Path) -> list[str]:
    """How to start a program that refuses to run as root; the folder is given to its user."""
    if os.geteuid() != 0:
        return ["setpriv"]
    names = {user.pw_name for user in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    for path in (folder, *files):
        os.chown(path, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _wait(server: subprocess.Popen[bytes], port: int, password: str, log: Path) -> None:
    """Until the server answers.

    Raises:
        RuntimeError: it ended, or does not answer within 20 seconds.
    """
    import psycopg

    address = f"host=127.0.0.1 port={port} user=tests password={password} dbname=postgres"
    end = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(address, connect_timeout=5).close()
            return
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}") from error
        time.sleep(0.02)


@contextmanager
def chromium() -> Iterator[Chrome]:
    """A headless Chromium that knows this machine only: no name but localhost is resolved.

    Its console stands in `get_log("browser")`, its requests in `get_log("performance")`.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = debian("chromium", "chromium")
    rules = "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
    for argument in (
        *("headless=new", "window-size=1500,900", "disable-dev-shm-usage", "no-first-run"),
        *("disable-background-networking", "disable-component-update"),
        f"host-resolver-rules={rules}",
        *(("no-sandbox",) if os.geteuid() == 0 else ()),
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(debian("chromedriver", "chromium-driver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the test session."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder, postgres(Path(folder)) as url:
        yield url


@pytest.fixture
def postgres_database(postgres_url: str) -> str:
    """The URL of an empty database."""
    import psycopg

    name = f"d{secrets.token_hex(8)}"
    plain = postgres_url.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres_url.replace("/postgres", f"/{name}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Chrome]:
    """A headless Chromium that lives as long as the test session."""
    with chromium() as driver:
        yield driver
