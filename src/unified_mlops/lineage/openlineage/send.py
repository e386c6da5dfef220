"""Where events go: a file of JSON lines, or an HTTP endpoint that takes OpenLineage events."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from unified_mlops.errors import ArgumentError, BackendError, store_error
from unified_mlops.files import write_whole
from unified_mlops.lineage.urn import canonical

if TYPE_CHECKING:
    from openlineage.client.event_v2 import DatasetEvent, RunEvent

PATH = "/api/v1/lineage"
TIMEOUT = 30
"""Seconds to wait for an endpoint."""


def write(events: Iterable[RunEvent | DatasetEvent], path: Path) -> int:
    """Write all events to a file, one JSON object a line; the file is whole or stays as it was.

    Args:
        events: what to write.
        path: the file, whose folder must be there.

    Returns:
        How many events it holds.

    Raises:
        BackendError: it cannot be written.
    """
    lines = [as_json(event) for event in events]
    write_whole(path, "".join(f"{line}\n" for line in lines))
    return len(lines)


def post(
    events: Iterable[RunEvent | DatasetEvent],
    url: str,
    sent: Path | None = None,
    api_key: str | None = None,
) -> int:
    """Send events to an endpoint, those that were sent before excepted.

    Args:
        events: what to send.
        url: the endpoint; without a path, `/api/v1/lineage` of it. A user and password in it go
            as basic authentication and are shown nowhere.
        sent: a file that remembers what this endpoint has taken, made when there is none. An
            interrupted export goes on from there.
        api_key: sent as a bearer token.

    Returns:
        How many events were sent.

    Raises:
        ArgumentError: the URL is none of http or https.
        BackendError: the endpoint is away or refused an event; `sent` knows what it took.
    """
    count = 0
    try:
        with closing(_Endpoint(url, api_key)) as endpoint, _memory(sent) as (known, remember):
            for event in events:
                line = as_json(event)
                digest = hashlib.sha256(line.encode()).hexdigest()[:32]
                if digest not in known:
                    endpoint.send(line)
                    known.add(digest)
                    remember(f"{digest}\n")
                    count += 1
    except OSError as error:
        raise store_error(f"the file {str(sent)!r}", error, mend="give another file") from error
    return count


def as_json(event: RunEvent | DatasetEvent) -> str:
    """An event as one line of JSON."""
    from openlineage.client.serde import Serde

    return Serde.to_json(event)


@contextmanager
def _memory(sent: Path | None) -> Iterator[tuple[set[str], Callable[[str], object]]]:
    """The digests of what was sent, and how to remember another."""
    if sent is None:
        yield set(), len
        return
    with sent.open("a+", buffering=1) as file:
        file.seek(0)
        yield set(file.read().split()), file.write


class _Endpoint:
    """One connection, kept open; redirects are not followed, as they would take the key along."""

    def __init__(self, url: str, api_key: str | None) -> None:
        parts, port = _parts(url)
        self._shown = canonical(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.hostname or "", port, timeout=TIMEOUT)
        self._target = parts.path if parts.path not in ("", "/") else PATH
        self._target += f"?{parts.query}" if parts.query else ""
        self._headers = {"Content-Type": "application/json"}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def send(self, line: str) -> None:
        try:
            self._connection.request("POST", self._target, line.encode(), self._headers)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, HTTPException) as error:
            said = getattr(error, "strerror", None) or type(error).__name__
            raise BackendError(
                f"the endpoint {self._shown!r} cannot be reached: {said}",
                hint="see that it runs, and send again: what it took is not sent twice",
            ) from error
        if not 200 <= answer.status < 300:
            raise BackendError(
                f"the endpoint {self._shown!r} refused an event: {answer.status} {answer.reason}",
                hint="see its log, and that the URL and the key are right",
            )

    def close(self) -> None:
        self._connection.close()


def _parts(url: str) -> tuple[SplitResult, int | None]:
    wrong = ArgumentError(
        "an endpoint's URL begins with http:// or https:// and a host",
        hint="such as http://localhost:5000",
    )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None  # whose text may hold a part of a password
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise wrong
    return parts, port
