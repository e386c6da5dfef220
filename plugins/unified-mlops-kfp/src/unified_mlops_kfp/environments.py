"""Virtual environments for components that need packages which the session does not have.

<workspace>/environments/<key>/          one per set of requirements, built whole or not at all
<workspace>/environments/<key>.lock      held while it is built
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from unified_mlops.pipelines.component import Component
from unified_mlops_kfp.launcher import Stop

_LINK = "zz_session_packages.pth"
"""Read last of its kind: what the environment holds itself wins over what the session has."""
_SITES = ("site-packages", "dist-packages")
_AS_UV_SAYS = {"--trusted-host": "--allow-insecure-host", "--pre": "--prerelease=allow"}
_WAIT = 0.2

_REASON = re.compile(r".*(?:╰─▶|cause:|error:)(.*)", re.DOTALL)

Run = Callable[[Sequence[str]], int]
"""Runs a command and gives back its exit status."""


class UnbuiltError(Exception):
    """An environment was not built; what uv wrote says why, unless the task was stopped."""


def environment(root: Path, component: Component, run: Run, stop: Stop) -> Path:
    """The folder of a component's environment, built by uv where it is not there.

    KFP and everything else that the session has can be imported in it, after its own packages.

    Args:
        root: where environments are.
        component: whose requirements it is for; the same ones share an environment.
        run: runs uv.
        stop: ends the wait for another one that builds it.

    Raises:
        UnbuiltError: `run` failed, or was stopped.
        OSError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    folder = root / _key(component)
    if folder.is_dir():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / f"{folder.name}.lock")
    while not stop.asked:  # another task, or another process, may be building it
        with contextlib.suppress(Timeout), lock.acquire(timeout=_WAIT):
            if not folder.is_dir():
                _build(folder, component, run)
            return folder
    raise UnbuiltError


def said(log: str) -> str:
    """What uv says is wrong, in one line."""
    found = _REASON.fullmatch(log)
    return " ".join((found[1] if found else log).split())


def python(folder: Path) -> str:
    """The interpreter of an environment."""
    return str(folder / "bin" / "python")


def _key(component: Component) -> str:
    parts = (component.requirements, component.options, sys.version, sys.prefix)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _build(folder: Path, component: Component, run: Run) -> None:
    from uv import find_uv_bin

    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a build that was killed
    uv, quiet = find_uv_bin(), ["--quiet", "--color=never"]
    pins = folder.with_name(f"{folder.name}.constraints")
    pins.write_text(f"kfp=={version('kfp')}\n")  # what needs KFP gets the session's
    create = [uv, "venv", *quiet, "--relocatable", "--python", sys.executable, str(new)]
    install = [uv, "pip", "install", *quiet, "--python", python(new), "--constraint", str(pins)]
    install += _options(component.options)
    install += ["--", *component.requirements]
    try:
        for command in (create, install):
            if run(command):
                raise UnbuiltError
        _link(new)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        pins.unlink(missing_ok=True)


def _options(given: Sequence[str]) -> Iterator[str]:
    """What pip is told, as uv is; of a trusted index only the host, not the password."""
    for before, word in zip(("", *given), given, strict=False):
        if before == "--trusted-host":
            yield urlsplit(word if "://" in word else f"//{word}").netloc.rpartition("@")[2]
        else:
            yield _AS_UV_SAYS.get(word, word)


def _link(folder: Path) -> None:
    """Let the environment see the session's packages, after its own."""
    sites = [entry for entry in sys.path if Path(entry).name in _SITES]
    (own,) = folder.glob("lib/python*/site-packages")
    lines = (f"import site; site.addsitedir({site!r})\n" for site in sites)
    (own / _LINK).write_text("".join(lines), "utf-8")
