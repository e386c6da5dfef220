"""The feature repo on disk: its settings, one `FeatureStore` per process, and `feast apply`."""

from __future__ import annotations

import importlib
import linecache
import logging
import os
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TextIO, cast

from unified_mlops.errors import ArgumentError, NotFoundError, UnifiedMLOpsError
from unified_mlops_feast.convert import translated
from unified_mlops_feast.definition import View, views_of
from unified_mlops_feast.names import Names, source_path
from unified_mlops_feast.stored import Settings, read_settings

logger = logging.getLogger(__name__)

_DEFAULT = """\
project: {project}
provider: local
registry: data/registry.db
online_store:
  type: sqlite
  path: data/online_store.db
offline_store:
  type: duckdb
entity_key_serialization_version: 3
"""
_PROCESS = threading.RLock()  # the working directory and the standard streams are the process's


@dataclass
class Opened:
    """A repo as it stood when it was opened: Feast's own object, and the definitions."""

    store: Any
    names: Names
    views: dict[str, View]
    registry: Path | None
    signature: tuple[Any, ...]
    plans: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def resolve(self, features: Sequence[str]) -> list[tuple[View, str]]:
        """The view and the name of each `view:feature`.

        Raises:
            NotFoundError: one is unknown.
            ArgumentError: one is asked for twice.
        """
        known = {f"{v.name}:{name}": (v, name) for v in self.views.values() for name in v.features}
        for feature in features:
            if feature not in known:
                close = get_close_matches(feature, known, 3, 0.5) or list(known)[:3]
                hint = f"known: {', '.join(map(repr, close))}" if close else "define one, and apply"
                raise NotFoundError(f"no feature {feature!r} is defined", hint=hint)
            if features.count(feature) > 1:
                raise ArgumentError(f"{feature!r} is asked for twice", hint="name it once")
        if not features:
            raise ArgumentError("no feature is asked for", hint="features=['<view>:<feature>']")
        return [known[feature] for feature in features]

    def relative(self) -> bool:
        """Whether a source's path starts from the repo, which Feast's DuckDB store overlooks."""
        paths = (source_path(view.source) for view in self.views.values() if view.source)
        return any(path and "://" not in path and not Path(path).is_absolute() for path in paths)


class Repo:
    """A folder with `feature_store.yaml` and plain Feast definitions.

    Args:
        path: the folder, absolute; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = path / "feature_store.yaml"
        self._opened: Opened | None = None
        self._lock = threading.Lock()

    def open(self, fresh: bool = False) -> Opened:
        """The store and its definitions, rebuilt where they changed on disk and after a fork.

        Args:
            fresh: build anew a store whose registry is not a file to be watched.

        Raises:
            NotFoundError: there is no repo, or nothing was applied yet.
        """
        opened = self._opened
        current = opened and opened.signature == self._sign(opened.registry)
        if opened and current and (opened.registry or not fresh):
            return opened
        with self._lock, translated(self.path):
            self._opened = self._build()
            return self._opened

    def settings_read(self) -> Settings:
        """What the settings say of the registry.

        Raises:
            NotFoundError: there are none, or nothing was applied yet.
        """
        if not self.settings.exists():
            raise self._missing()
        settings = read_settings(self.path)
        if settings.file and not settings.file.exists():
            raise self._missing()
        return settings

    def apply(self) -> None:
        """Do what `feast apply` does; a repo without settings is given the embedded defaults.

        Raises:
            NotFoundError: no such folder.
            ArgumentError: the definitions are not valid.
        """
        if not self.path.is_dir():
            hint = f"put Feast definitions into {self.path / 'features.py'}"
            raise NotFoundError(f"there is no feature repo {str(self.path)!r}", hint=hint)
        if not self.settings.exists():
            self._write_settings()
        _feast()
        with translated(self.path), aside(self.path) as said, importable(self.path):
            try:
                feast_apply(self.path)
            except SystemExit as error:
                text = "".join(said).strip().rpartition("\n")[2]
                raise ArgumentError(text, hint=f"mend {self.settings}") from error
            except Exception as error:
                if blamed := _blame(error, self.path):
                    raise blamed from error
                raise

    @contextmanager
    def busy(self, opened: Opened) -> Iterator[None]:
        """Let Feast work on sources: in silence, in the repo where paths start from it."""
        folder = self.path if opened.relative() else None
        try:
            with translated(self.path), aside(folder), restored(opened.registry):
                yield
        except BaseException:
            self._opened = None  # what it remembers is no longer what stands on disk
            raise

    def _write_settings(self) -> None:
        project = re.sub(r"[^\w-]+", "_", self.path.name).lstrip("_-") or "features"
        partial = self.settings.with_suffix(".partial")
        partial.write_text(_DEFAULT.format(project=project))
        partial.replace(self.settings)

    def _build(self) -> Opened:
        settings = self.settings_read()
        store, registry = _store(self.path), settings.file
        signature = self._sign(registry)
        names = settings.names
        views = views_of(store.registry.proto(), names)
        return Opened(store, names, views, registry, signature)

    def _sign(self, registry: Path | None) -> tuple[Any, ...]:
        stats = [_stat(path) for path in (self.settings, registry) if path]
        return (os.getpid(), *stats)

    def _missing(self) -> NotFoundError:
        fact = f"no features were applied in {str(self.path)!r}"
        return NotFoundError(fact, hint=f"feast -c {self.path} apply")


def feast_apply(repo: Path) -> None:
    """`feast apply`, by the one function of Feast's that is not its published API (0.67)."""
    from feast.repo_operations import apply_total

    apply_total(_store(repo).config, repo, skip_source_validation=False)


@contextmanager
def importable(repo: Path) -> Iterator[None]:
    """Let the repo's own modules be imported, afresh, and leave nothing of them behind."""
    files = [*repo.glob("*.py"), *(path.parent for path in repo.glob("*/*.py"))]
    ours = {path.stem for path in files} - sys.stdlib_module_names
    kept = {name: sys.modules.pop(name) for name in _modules(ours)}
    flag = sys.dont_write_bytecode
    importlib.invalidate_caches()  # the files may be younger than what was last seen of them
    linecache.checkcache()  # from where Feast takes the text of functions
    sys.path.insert(0, str(repo))
    try:
        yield
    finally:
        sys.path.remove(str(repo))
        sys.dont_write_bytecode = flag
        for name in _modules(ours):
            del sys.modules[name]
        sys.modules.update(kept)


@contextmanager
def restored(registry: Path | None) -> Iterator[None]:
    """Put the registry back where the block fails: Feast notes there what it is about to do."""
    before = registry.read_bytes() if registry else b""
    try:
        yield
    except BaseException:
        if registry and registry.read_bytes() != before:
            with registry.open("r+b") as file:  # in its own place, for which no disk is too full
                file.write(before)
                file.truncate()
        raise


@contextmanager
def aside(folder: Path | None) -> Iterator[list[str]]:
    """Turn what this thread prints into log lines, and work in `folder` if one is given."""
    said: list[str] = []
    with _PROCESS, warnings.catch_warnings():
        for noise in (DeprecationWarning, RuntimeWarning):
            warnings.simplefilter("ignore", noise)
        here = Path.cwd() if folder else None
        out, err = (cast(TextIO, _Aside(stream, said)) for stream in (sys.stdout, sys.stderr))
        try:
            if folder:
                os.chdir(folder)
            with redirect_stdout(out), redirect_stderr(err):
                yield said
        finally:
            if here:
                os.chdir(here)


class _Aside:
    """A standard stream for every thread but the one that made this, which speaks to the log."""

    def __init__(self, stream: Any, said: list[str]) -> None:
        self._stream, self._said = stream, said
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() != self._thread:
            return int(self._stream.write(text))
        self._said.append(text)
        logger.debug("%s", text.rstrip())
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _store(repo: Path) -> Any:
    """Feast's own object for a repo, whose registry is written whole where it is a file."""
    store = _feast().FeatureStore(repo_path=str(repo))
    registry = store.config.registry
    is_file = registry.registry_type == "file" and "://" not in registry.path
    if is_file and registry.registry_store_type is None:
        registry.registry_store_type = "unified_mlops_feast.registry.WholeFileRegistryStore"
    return store


def _feast() -> Any:
    """Feast, imported without the filters that it adds to everybody's warnings."""
    with warnings.catch_warnings():
        import feast
    return feast


def _blame(error: Exception, repo: Path) -> UnifiedMLOpsError | None:
    """The error of a definition file that cannot be imported, by file and line."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [(frame.filename, frame.lineno) for frame in frames]
    if isinstance(error, SyntaxError):
        places.append((error.filename or "", error.lineno))
    for file, line in reversed(places):
        if file and Path(file).resolve().is_relative_to(repo.resolve()):
            fact = f"{file!r} raised {type(error).__name__}: {error}"
            return ArgumentError(fact, hint=f"see {file}:{line}")
    return None


def _modules(names: set[str]) -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] in names]


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
