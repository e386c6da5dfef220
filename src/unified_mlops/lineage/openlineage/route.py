"""`POST /api/v1/lineage` on this machine, for whatever tool sends OpenLineage events."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from unified_mlops.errors import ArgumentError, BackendError, UnifiedMLOpsError
from unified_mlops.lineage.openlineage.load import observations
from unified_mlops.lineage.openlineage.send import PATH
from unified_mlops.records import Observation

LARGEST = 10_000_000
"""Bytes that one request may have."""
_HOSTS = {"127.0.0.1", "localhost"}


@dataclass(frozen=True, slots=True)
class Route:
    """A server of the route: where it listens, and how to end it."""

    url: str
    stop: Callable[[], None]


def serve(
    add: Callable[[Sequence[Observation]], object], port: int = 0, largest: int = LARGEST
) -> Route:
    """Take events on 127.0.0.1 until stopped, in threads of their own.

    Args:
        add: keeps the observations of one request; called by one thread at a time. An error of
            ours that it raises is answered with 503, so that the sender tries again.
        port: where to listen; 0 for any free port.
        largest: how many bytes a request may have.

    Raises:
        BackendError: the port is taken.
    """
    lock = threading.Lock()

    def keep(found: Sequence[Observation]) -> None:
        with lock:
            add(found)

    handler = type("Handler", (_Handler,), {"keep": staticmethod(keep), "largest": largest})
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise BackendError(
            f"port {port} cannot be listened on: {error.strerror}", hint="give another --port"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="openlineage", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    return Route(f"http://127.0.0.1:{server.server_port}{PATH}", stop)


class _RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, fact: str) -> None:
        super().__init__(fact)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    keep: Callable[[Sequence[Observation]], None]
    largest: int
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self) -> None:
        try:
            self.keep(observations(self._body()))
        except _RefusedError as error:
            self.close_connection = True  # whose body was not read
            self._answer(error.status, str(error))
        except ArgumentError as error:
            self._answer(400, str(error))
        except UnifiedMLOpsError as error:
            self._answer(503, str(error))
        else:
            self._answer(201, "")

    def do_GET(self) -> None:
        self._answer(405 if self._path == PATH else 404, f"events are sent with POST {PATH}")

    @property
    def _path(self) -> str:
        return self.path.partition("?")[0].rstrip("/")

    def _body(self) -> bytes:
        """The body of a request that no page in a browser can have sent."""
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        length = self.headers.get("Content-Length", "")
        if self._path != PATH:
            raise _RefusedError(404, f"events are sent with POST {PATH}")
        if host not in _HOSTS:
            raise _RefusedError(421, "this answers on this machine only")
        if self.headers.get_content_type() != "application/json":
            raise _RefusedError(415, "events are sent as application/json")
        if self.headers.get("Content-Encoding", "identity") != "identity":
            raise _RefusedError(415, "events are sent without compression")
        if not length.isdigit():
            raise _RefusedError(411, "a request has a Content-Length")
        if int(length) > self.largest:
            raise _RefusedError(413, f"a request has at most {self.largest} bytes")
        return self.rfile.read(int(length))

    def _answer(self, status: int, error: str) -> None:
        body = json.dumps({"error": error} if error else {"status": "kept"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: what was asked may hold what nobody is to read."""
