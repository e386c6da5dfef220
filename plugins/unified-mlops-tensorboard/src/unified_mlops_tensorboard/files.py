"""Event files: framing, appending, and reading the beginning."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

PATTERN = "*.tfevents.*"
_PREFIX = "events.out.tfevents"
_HEADER = struct.Struct("<QI")
_CHECK = struct.Struct("<I")


def new_name() -> str:
    """A name in TensorBoard's form that no other process gives a file."""
    now = time.time_ns()
    return f"{_PREFIX}.{now // 10**9}.{socket.gethostname()}.{os.getpid()}.{now % 10**9}"


def fixed_name(word: str) -> str:
    """The name of a file that is there once per folder."""
    return f"{_PREFIX}.0.{word}"


def append(path: Path, events: Iterable[Event]) -> None:
    """Append events in one write, all or none; a new file begins with the format's version."""
    data = b"".join(map(_record, events))
    with path.open("ab", buffering=0) as file:
        start = file.tell()
        if start == 0:
            data = _record(_version()) + data
        try:
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(start)  # readers would stop at half a record for good
            raise


def replace(path: Path, events: Iterable[Event]) -> None:
    """Put events in the place of a whole file."""
    draft = path.with_name(f".{path.name.replace(_PREFIX, 'draft')}.{os.getpid()}")
    try:
        append(draft, events)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read(path: Path, limit: int) -> Iterator[Event]:
    """The first events of a file; it ends where a record is not whole yet.

    Args:
        path: the file.
        limit: how many to read.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorboard.compat.proto.event_pb2 import Event

    size = path.stat().st_size
    with path.open("rb") as file:
        for _ in range(limit):
            header = file.read(_HEADER.size)
            length = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else size
            if file.tell() + length + _CHECK.size > size:
                return
            try:
                yield Event.FromString(file.read(length))
            except DecodeError:  # not an event file, whatever it is called
                return
            file.seek(_CHECK.size, os.SEEK_CUR)


def _version() -> Event:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=time.time(), file_version="brain.Event:2")


def _record(event: Event) -> bytes:
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    data: bytes = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    checks = [_CHECK.pack(masked_crc32c(part)) for part in (length, data)]
    return length + checks[0] + data + checks[1]
