"""One name for one thing: canonical URNs, equal for every spelling, free of credentials."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes

from unified_mlops.errors import LineageError

_SCHEMES = {
    **{"s3a": "s3", "s3n": "s3", "gcs": "gs", "bq": "bigquery"},
    **{"wasb": "abfs", "wasbs": "abfs", "abfss": "abfs"},
    **{"postgres": "postgresql", "rediss": "redis"},
}
_PORTS = {
    **{"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521},
    **{"redis": 6379, "kafka": 9092, "mongodb": 27017, "redshift": 5439, "clickhouse": 9000},
}
"""Databases and brokers, which carry their port in the URN."""
_WEB_PORTS = {"http": 80, "https": 443, "snowflake": 443}
_OBJECTS = {"s3", "gs", "abfs"}
LOGICAL = {"mlflow", "feast", "kfp", "ray", "evidently", "prediction", "request", "openlineage"}
"""What names logical things: its first part is a name and no host."""

_SCHEME = re.compile(r"([A-Za-z][\w.+-]+):(.*)", re.DOTALL)
_QUERY = re.compile(r"\?[\w.~%-]+=")
_HOSTS = re.compile(r"((\[[^\]]*\]|[^:,]*)(:\d+)?(,|$))+")
_AZURE = re.compile(r"\.(dfs|blob)\.core\.windows\.net$")
_NAME = " -_.~:"
_SECRET = re.compile(
    r"""(^|[;,&?\s{(])["']?(user|user_?name|uid|sig|[\w-]*(password|passwd|pwd|secret|token|api_?key"""
    r"""|access_?key|credential|signature)[\w-]*)["']?\s*[=:]\s*("[^"]*"|'[^']*'|[^;,&\s]*)""",
    re.IGNORECASE,
)


def canonical(uri: str | Path, base: Path | None = None) -> str:
    """The canonical form of a physical location; other URNs stay as they are.

    What stands in an object's key is never touched: neither its case nor `//` and `..`.

    Args:
        uri: a path, or the URI of a file, object, database or stream.
        base: the folder from which a relative path is known to start.

    Raises:
        LineageError: a relative path whose base nobody knows, a file of another machine, or text
            that names nothing. Its message holds no credential.
    """
    found = None if isinstance(uri, Path) else _SCHEME.fullmatch(uri)
    if not found:
        return _file(os.fspath(uri), base)
    scheme, rest = found[1].lower(), found[2]
    if scheme == "jdbc":  # oracle:thin:user/password@//host
        return canonical(re.sub(r"^(\w+):(?!/)[^@]*@(//)?", r"\1://", rest), base)
    scheme = scheme.partition("+")[0]  # drops a driver: postgresql+psycopg
    scheme = _SCHEMES.get(scheme, scheme)
    if scheme == "file":
        return _file_uri(rest, base)
    if scheme in {"sqlite", "duckdb"}:
        return _file_database(scheme, rest, base)
    if not rest.startswith("//"):
        return _opaque(scheme, rest)
    return _network(scheme, _without_user(rest[2:], container=scheme == "abfs"))


def _file(path: str, base: Path | None) -> str:
    if not path or "\0" in path:
        raise LineageError("an empty path names no file", hint="give a path")
    if path.startswith("//"):  # which POSIX keeps
        path = "/" + path.lstrip("/")
    location = Path(path) if base is None else base / path
    if not location.is_absolute():
        raise LineageError(
            f"{without_secrets(path)!r} is relative, and to what is not known",
            hint="give an absolute path",
        )
    return "file://" + quote(os.fsencode(os.path.realpath(location)), safe="/-_.~ =:+@,")


def _file_uri(rest: str, base: Path | None) -> str:
    place, mark, fragment = rest.partition("#")
    path = place.partition("?")[0]
    if path.startswith("//"):
        host, slash, path = path[2:].partition("/")
        path = slash + path
        if host.rpartition("@")[2].lower() not in {"", "localhost", platform.node().lower()}:
            raise LineageError(
                "a file: URI names another machine",
                hint="write file:/// and an absolute path",
            )
    return _file(os.fsdecode(unquote_to_bytes(path)), base) + _fragment(mark, fragment)


def _file_database(scheme: str, rest: str, base: Path | None) -> str:
    """A table of a database file; the whole database is its file.

    SQLAlchemy writes three slashes before a relative path. Our own form, which alone has a
    table, writes them before an absolute one.
    """
    place, mark, fragment = rest.partition("#")
    path = place.partition("?")[0].removeprefix("//")
    ours = fragment.startswith("table=")
    path = unquote(path) if ours else path.removeprefix("/" if rest.startswith("//") else "")
    path = path.removeprefix("file:")
    if path in {"", "/", ":memory:", "/:memory:"}:
        raise LineageError(
            f"a {scheme} database in memory is gone with its process", hint="name a database file"
        )
    file = _file(path, base)
    if ours:
        file = f"{scheme}://{file.removeprefix('file://')}"
    return file + _fragment(mark, fragment)


def _opaque(scheme: str, rest: str) -> str:
    if scheme in LOGICAL:
        return f"{scheme}:{rest}"
    if "@" in rest.partition("/")[0]:
        raise LineageError(
            "a reference holds a user's name and no scheme", hint="write it as scheme://host/name"
        )
    return f"{scheme}:{_SECRET.sub('', _QUERY.split(rest)[0])}"


def _without_user(text: str, *, container: bool) -> str:
    """What follows `//`, without `user:password@`.

    Args:
        text: the authority and what follows it.
        container: whether a single name before the last `@` is a container and no user.
    """
    head = re.split(r"[/?#]", text, maxsplit=1)[0]
    if "@" in head:
        before, _, host = head.rpartition("@")
        kept = before.rpartition("@")[2]
        own = f"{kept}@" if container and kept and ":" not in kept else ""
        return own + host + text[len(head) :]
    if "@" in text and not _HOSTS.fullmatch(head):  # a password with one of /?# in it
        return _without_user(text.partition("@")[2], container=container)
    return text


def _network(scheme: str, text: str) -> str:
    place, mark, fragment = text.partition("#")
    if scheme in _OBJECTS | LOGICAL:  # whose names may hold a question mark
        place, query = _QUERY.split(place)[0], ""
    else:
        place, _, query = place.partition("?")
        place = _SECRET.sub("", place)
    if scheme in LOGICAL:
        return f"{scheme}://{place}{mark}{fragment}"
    host, slash, key = place.partition("/")
    if scheme == "bigquery":
        host, slash, key = f"{host}{slash and '.'}{key.replace('/', '.')}", "", ""
    elif scheme == "abfs":
        container, at, account = host.rpartition("@")
        host = container + at + (_AZURE.sub("", account.lower()) if at else account)
    elif scheme in _PORTS:
        host = _hosts(host or _asked(query), _PORTS[scheme])
        key = key or ("0" if scheme == "redis" else "")  # its database where none is named
    elif scheme in _WEB_PORTS or scheme in {"hdfs", "sftp", "ftp"}:
        host = host.lower().removesuffix(f":{_WEB_PORTS.get(scheme)}")
    return f"{scheme}://{host}{'/' if key else ''}{key}{_fragment(mark, fragment)}"


def _asked(query: str) -> str:
    """The host that stands in the query of a database's URI; a socket is this machine."""
    asked = dict(parse_qsl(query))
    host = asked.get("host", "")
    port = f":{asked['port']}" if "port" in asked else ""
    return (host if host and not host.startswith("/") else "localhost") + port


def _hosts(text: str, port: int) -> str:
    """`host:port` of one host or of several, which come in any order."""
    full = {
        host if re.search(r":\d+$", host) else f"{host.rstrip(':')}:{port}"
        for host in text.lower().split(",")
    }
    return ",".join(sorted(full))


def _fragment(mark: str, text: str) -> str:
    """Columns and tables in one spelling; a fragment that is neither may be a token."""
    kept = []
    for part in text.split("#") if mark else ():
        key, equals, value = part.partition("?")[0].partition("=")
        if equals and key == "table":
            kept.append(f"#table={quote(unquote(value), safe=_NAME)}")
        elif key and not equals:
            kept.append(f"#{quote(unquote(key), safe=_NAME)}")
    return "".join(kept)


def without_secrets(text: str) -> str:
    """Free text without `password=…`, `?sig=…` and `user:password@`.

    Args:
        text: such as a connection string, or a path that could not be understood.
    """
    clean = re.sub(r"(?<=//)[^/\s@]*@|[^\s/:@'\"]+:(?!\d+[/\s])[^\s@/]*@", "", text)
    return _SECRET.sub("", clean)


def column(dataset: str, name: str) -> str:
    """The URN of a column: its dataset's URN, `#`, its name."""
    return f"{dataset}#{quote(name, safe=_NAME)}"


def owner(uri: str) -> str:
    """The URN of the dataset or view that a column's URN belongs to."""
    return uri.rpartition("#")[0]


def definition(uri: str, digest: str) -> str:
    """The URN of one definition of a thing: the hash over its meaningful fields follows `@`."""
    return f"{uri}@{digest}"


def feature_view(store: str, project: str, name: str) -> str:
    """The URN of a feature view in one store's project."""
    return f"feast://{store}/{project}/featureView/{quote(name)}"


def feature_set(references: Iterable[str]) -> str:
    """The alias of a feature service that has exactly these features, in whatever order.

    Args:
        references: `view:feature` each.
    """
    text = "\n".join(sorted(set(references)))
    return f"feast-features:{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def path_of(uri: str) -> Path:
    """The local path of a `file:` URN.

    Raises:
        LineageError: it is not a local file.
    """
    if not uri.startswith("file://"):
        raise LineageError(
            f"{without_secrets(uri)!r} is not a local file", hint="give a file:// URN or a path"
        )
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))))


def is_column(uri: str) -> bool:
    """Whether a URN names a column; `#table=t` names a table."""
    fragment = uri.rpartition("#")[2] if "#" in uri else ""
    return bool(fragment) and not fragment.startswith("table=")
