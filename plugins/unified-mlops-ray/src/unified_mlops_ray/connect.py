"""Being attached to a cluster, once per process, and leaving the process as it was."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from unified_mlops.errors import BackendError, UnsupportedError

_LOOPBACK = ("127.0.0.1", "localhost", "::1", "::ffff:127.0.0.1")
_START = "with RayCluster.create() as cluster: ... cluster.address"


def location(address: str) -> str:
    """The one spelling of an address, `host:port`, by which a cluster is known."""
    parts = urlsplit(f"//{address}")
    if parts.hostname in _LOOPBACK and parts.port:
        return f"127.0.0.1:{parts.port}"
    return address


def native(address: str) -> str:
    """The spelling that `ray.init` takes as it is.

    Ray replaces 127.0.0.1 by the machine's outer address, where nothing of ours listens; it leaves
    the same address in IPv6's notation alone.
    """
    place = location(address)
    host, _, port = place.partition(":")
    return f"[::ffff:{host}]:{port}" if host == "127.0.0.1" else address


@contextmanager
def attached(address: str | None) -> Iterator[str]:
    """Attach to a cluster for as long as the block lasts, unless the user already is attached.

    Args:
        address: the cluster; None takes `RAY_ADDRESS`, or the one that the user is attached to.

    Yields:
        The cluster's location.

    Raises:
        UnsupportedError: no address anywhere, or this process is attached to another cluster.
        BackendError: nothing answers there.
    """
    place = _link.enter(address or os.environ.get("RAY_ADDRESS"))
    try:
        yield place
    finally:
        _link.exit()


def leave(place: str) -> None:
    """Detach from a cluster that is about to stop; Ray would end this process with it."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized() and _current() == place:
        ray.shutdown()


def probe(address: str) -> str:
    """What is wrong with an address: empty where something answers, or where only Ray can tell."""
    parts = urlsplit(f"//{address}")
    if "://" in address or not parts.port:
        return ""
    host = "127.0.0.1" if parts.hostname in _LOOPBACK else str(parts.hostname)
    try:
        socket.create_connection((host, parts.port), timeout=2).close()
    except OSError as error:
        return f"no Ray cluster answers at {address!r}: {error}"
    return ""


class _Link:
    """The process's one connection, shared by the threads that use it at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._ours = False

    def enter(self, address: str | None) -> str:
        with self._lock:
            if not _is_attached():
                _attach(address)
                self._ours = True
            place = _current()
            if address and _port(address) and _port(address) != _port(place):
                raise UnsupportedError(
                    f"this process is attached to {place!r}, and Ray allows no second cluster",
                    hint=f"ray.shutdown(), then use {address!r}",
                )
            self._users += 1
            return place

    def exit(self) -> None:
        with self._lock:
            self._users -= 1
            if self._ours and self._users == 0:
                import ray

                ray.shutdown()
                self._ours = False


_link = _Link()


def _is_attached() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _current() -> str:
    import ray

    return location(str(ray.get_runtime_context().gcs_address))


def _port(address: str) -> int | None:
    return None if "://" in address else urlsplit(f"//{address}").port


def _attach(address: str | None) -> None:
    if not address:
        raise UnsupportedError("no Ray cluster is configured", hint=_START)
    if problem := probe(address):
        raise BackendError(problem, hint=_START)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with _unchanged():
        import ray

        try:
            ray.init(address=native(address), log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
            raise BackendError(
                f"Ray at {address!r} refuses: {str(error).partition(chr(10))[0]}",
                hint="give RAY_AUTH_MODE and Ray's version the values that the cluster has",
            ) from error


@contextmanager
def _unchanged() -> Iterator[None]:
    """Put back what Ray replaces in a process that imports it and attaches it."""
    hook, path, crash = sys.excepthook, list(sys.path), faulthandler.is_enabled()
    debugger, terminate = os.environ.get("PYTHONBREAKPOINT"), signal.getsignal(signal.SIGTERM)
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns in every thread that cannot set signal handlers
    try:
        with warnings.catch_warnings():
            yield
    finally:
        logger.setLevel(level)
        sys.excepthook = hook
        # Ray's own folder stays: it imports from there later. But behind the user's.
        sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]
        if not crash:
            faulthandler.disable()
        if debugger is None:
            os.environ.pop("PYTHONBREAKPOINT", None)
        else:
            os.environ["PYTHONBREAKPOINT"] = debugger
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminate)
