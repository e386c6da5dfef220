"""What an artifact is, apart from where it lies: its type, its metadata and its content.

Content is a hash over the bytes of a local file or folder, a store's own checksum of a remote one,
and where a store has none, its URI with what else the store says of it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

Seen = tuple[int, int, int, str]
"""A file's size, the moments in ns at which content and inode were changed, and its hash."""

_GRAIN = 20_000_000
"""Nanoseconds within which a file system may give two changes of a file one time."""

_CHECKSUMS = ("ETag", "etag", "e_tag", "md5Hash", "content_md5", "Content-MD5", "Digest", "crc32c")
_CHANGES = ("size", "mtime", "created", "updated", "last_modified", "LastModified", "Last-Modified")


class Identity:
    """Tells what artifacts are; a file that has not changed is read once."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}

    def __call__(self, artifact: Mapping[str, Any]) -> dict[str, Any]:
        """What an artifact in KFP's form is, as plain values that are equal for equal artifacts."""
        return {
            "type": artifact.get("type", {}),
            "metadata": artifact.get("metadata", {}),
            "content": self.content(str(artifact.get("uri", ""))),
        }

    def content(self, uri: str) -> str:
        """What stands at a URI or path, in one short text; empty where nothing does.

        What cannot be read is told as such, and never twice in the same words.
        """
        try:
            path = local(uri)
            return _remote(uri) if path is None else self._local(path)
        except Exception as error:  # noqa: BLE001  each store raises errors of its own
            return f"cannot be read at {time.time_ns()}: {error}"

    def seen(self, uri: str) -> dict[str, Seen]:
        """The files at a local URI whose content is known, to be given to `learn` later."""
        path = local(uri) if uri else None
        if path is None:
            return {}
        names = _files(path) if path.is_dir() else (path,)
        return {str(name): self._seen[str(name)] for name in names if str(name) in self._seen}

    def learn(self, seen: Mapping[str, Iterable[Any]]) -> None:
        """Know files that an earlier process has read, as long as they have not changed since."""
        for name, (size, changed, inode, digest) in seen.items():
            self._seen.setdefault(name, (size, changed, inode, digest))

    def _local(self, path: Path) -> str:
        if path.is_file():
            return f"sha256:{self._file(path)}"
        if not path.is_dir():
            return ""
        digest = hashlib.sha256()
        for file in _files(path):
            digest.update(f"{file.relative_to(path).as_posix()}\0{self._file(file)}\n".encode())
        return f"folder:{digest.hexdigest()}"

    def _file(self, path: Path) -> str:
        found = path.stat()
        stamp = (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        known = self._seen.get(str(path))
        if known and known[:3] == stamp:
            return known[3]
        with path.open("rb") as content:
            digest = hashlib.sha256()
            while block := content.read(1 << 20):
                digest.update(block)
        if time.time_ns() - found.st_ctime_ns > _GRAIN:
            self._seen[str(path)] = (*stamp, digest.hexdigest())
        return digest.hexdigest()


def local(uri: str) -> Path | None:
    """The path of a local URI, or of a path; None for what lies elsewhere."""
    if uri.startswith("file:"):
        return Path(url2pathname(urlparse(uri).path))
    return None if "://" in uri or not uri else Path(uri).absolute()


def _files(folder: Path) -> Iterator[Path]:
    """The files below a folder in the order of their names; through links as through folders."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        elif entry.is_file():
            yield Path(entry.path)
        elif entry.is_dir():
            yield from _files(Path(entry.path))


def _remote(uri: str) -> str:
    """What a store says of a file or of the files in a folder."""
    if not uri:
        return ""
    try:
        from fsspec.core import url_to_fs

        store, path = url_to_fs(uri)
    except (ImportError, ValueError):  # nothing here can look into that store
        return uri
    store.invalidate_cache()
    try:
        info = store.info(path)
    except FileNotFoundError:
        return ""
    if info.get("type") != "directory":
        return _mark(uri, info)
    digest = hashlib.sha256()
    for name, found in sorted(store.find(path, detail=True).items()):
        below = name.removeprefix(path)
        digest.update(f"{below}\0{_mark(f'{uri}{below}', found)}\n".encode())
    return f"folder:{digest.hexdigest()}"


def _mark(uri: str, info: Mapping[str, Any]) -> str:
    for name in _CHECKSUMS:
        if info.get(name):
            return f"{name}:{info[name]}"
    return " ".join([uri, *(f"{name}={info[name]}" for name in _CHANGES if info.get(name))])
