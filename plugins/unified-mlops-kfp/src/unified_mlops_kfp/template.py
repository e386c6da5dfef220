"""Compiled pipelines from wherever they are: a file, a package, an address."""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from unified_mlops.errors import ArgumentError

LARGEST = 32 * 2**20
"""Bytes of a compiled pipeline; what is larger is something else."""
_TIMEOUT = 30
_KINDS = (".yaml", ".yml", ".json")


def load(place: str | Path) -> Mapping[str, Any]:
    """A compiled pipeline; what it says for single platforms stands in its second document.

    Args:
        place: the path or address (`https://…`, `s3://…`) of a YAML or JSON file, or of a `.zip`
            or `.tar.gz` package with one in it.

    Raises:
        ArgumentError: it cannot be read.
    """
    import yaml

    shown = re.sub(r"//[^/@]*@", "//", str(place)).partition("?")[0]
    try:
        name, content = _content(str(place))
        name, content = _unpacked(name, content)
        return _read(name, content)
    except (
        *(OSError, ValueError, TypeError, EOFError, RecursionError, yaml.YAMLError),
        *(zipfile.BadZipFile, tarfile.TarError),
    ) as error:
        raise ArgumentError(
            f"the pipeline file {shown!r} cannot be read: {str(error).partition(chr(10))[0]}",
            hint="give a file that kfp.compiler.Compiler().compile(pipeline, path) has written",
        ) from error


def _content(place: str) -> tuple[str, bytes]:
    """The name of a file, and what is in it."""
    scheme, separator, _ = place.partition("://")
    if not separator:
        path = Path(place).expanduser()
        return path.name, _whole(path.open("rb"))
    if scheme in ("http", "https"):
        from urllib.request import urlopen

        return urlsplit(place).path, _whole(urlopen(place, timeout=_TIMEOUT))
    import fsspec

    return urlsplit(place).path, _whole(fsspec.open(place, "rb").open())


def _whole(opened: Any) -> bytes:
    with opened as file:
        content: bytes = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST} bytes")
    return content


def _unpacked(name: str, content: bytes) -> tuple[str, bytes]:
    """The one pipeline in a package; anything else as it is."""
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            found = _only(package.namelist())
            return found, _whole(package.open(found))
    if name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(fileobj=io.BytesIO(content)) as package:
            found = _only([item.name for item in package if item.isfile()])
            return found, _whole(package.extractfile(found))
    return name, content


def _only(names: list[str]) -> str:
    found = [name for name in names if name.endswith(_KINDS)]
    if len(found) != 1:
        raise ValueError(f"it holds {len(found)} pipelines instead of one")
    return found[0]


def _read(name: str, content: bytes) -> Mapping[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = content.decode()
    documents = [json.loads(text)] if name.endswith(".json") else yaml.load_all(text, loader)
    merged: dict[str, Any] = {}
    for document in documents:
        merged = {**document, **merged}
    return merged
