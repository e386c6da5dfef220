"""One name for one thing: canonical URNs, equal for every spelling, free of credentials."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from unified_mlops.errors import LineageError

_SCHEMES = {
    "s3a": "s3",
    "s3n": "s3",
    "gcs": "gs",
    "wasb": "abfs",
    "wasbs": "abfs",
    "abfss": "abfs",
    "postgres": "postgresql",
}
_PORTS = {"postgresql": 5432, "mysql": 3306, "redis": 6379, "http": 80, "https": 443}


def canonical(uri: str | Path, base: Path | None = None) -> str:
    """The canonical form of a physical location.

    Args:
        uri: a path, `file:` URI, object or database URI. Object keys keep case, `//` and `..`.
        base: the folder from which a relative path is known to start.

    Raises:
        LineageError: a relative path whose base nobody knows.
    """
    text = os.fspath(uri)
    scheme, separator, _ = text.partition(":")
    if not separator or "/" in scheme or len(scheme) == 1:
        return _file(text, base)
    scheme = scheme.lower().partition("+")[0]  # drops a driver: postgresql+psycopg
    scheme = _SCHEMES.get(scheme, scheme)
    if scheme == "file":
        parts = urlsplit(text)
        fragment = f"#{parts.fragment}" if parts.fragment else ""
        return _file(unquote(parts.path), base) + fragment
    if scheme == "sqlite":
        path, _, fragment = text.partition(":")[2].partition("#")
        file = _file(path.removeprefix("///").partition("?")[0], base).removeprefix("file://")
        return f"sqlite://{file}" + (f"#{fragment}" if fragment else "")
    return _network(scheme, text.partition(":")[2])


def _file(path: str, base: Path | None) -> str:
    location = Path(path)
    if not location.is_absolute():
        if base is None:
            raise LineageError(
                f"{path!r} is relative, and to what is not known", hint="give an absolute path"
            )
        location = base / location
    return "file://" + quote(os.path.realpath(location), safe="/-_.~ =:+@,")


def _network(scheme: str, rest: str) -> str:
    location, hash_mark, fragment = rest.partition("#")
    if not location.startswith("//"):
        return f"{scheme}:{rest}"
    host, slash, key = location[2:].partition("/")
    if scheme not in {"abfs"}:
        host = host.rpartition("@")[2]  # credentials
    if scheme in _PORTS:
        host = host.lower()
        key = key.partition("?")[0]
        if ":" not in host:
            host = f"{host}:{_PORTS[scheme]}"
    return f"{scheme}://{host}{slash}{key}{hash_mark}{fragment}"


def column(dataset: str, name: str) -> str:
    """The URN of a column: its dataset's URN, `#`, its name."""
    return f"{dataset}#{quote(name, safe=' -_.~:')}"


def owner(uri: str) -> str:
    """The URN of the dataset or view that a column's URN belongs to."""
    return uri.rpartition("#")[0]


def feature_view(store: str, project: str, name: str) -> str:
    """The URN of a feature view in one store's project."""
    return f"feast://{store}/{project}/featureView/{quote(name)}"


def path_of(uri: str) -> Path:
    """The local path of a `file:` URN.

    Raises:
        LineageError: it is not a local file.
    """
    if not uri.startswith("file://"):
        raise LineageError(f"{uri!r} is not a local file", hint="give a file:// URN or a path")
    return Path(unquote(uri.removeprefix("file://")))


def is_column(uri: str) -> bool:
    """Whether a URN names a column; `#table=t` names a table."""
    fragment = uri.rpartition("#")[2] if "#" in uri else ""
    return bool(fragment) and not fragment.startswith("table=")
