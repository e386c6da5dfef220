"""Many small writes become few large ones, and nothing is lost once `flush()` returned."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Buffer(Generic[T]):
    """Collects items and hands them on in order, in batches.

    A batch goes out when it is full, when its first item is `seconds` old, at `flush()` and at
    the interpreter's exit. If writing fails the batch is kept, and the error reaches whoever
    called `add` or `flush`; after a failure in the background the next of these calls tries again.

    Args:
        write: takes the items of one batch.
        size: how many items fill a batch.
        seconds: how long an item may wait.
    """

    def __init__(
        self, write: Callable[[list[T]], None], *, size: int = 1000, seconds: float = 1.0
    ) -> None:
        self._write = write
        self._size = size
        self._seconds = seconds
        self._items: list[T] = []
        self._timer: threading.Timer | None = None
        self._lock = threading.RLock()
        atexit.register(_flush_living, weakref.WeakMethod(self.flush))

    def add(self, *items: T) -> None:
        """Take items, and write where that fills the batch."""
        with self._lock:
            self._items.extend(items)
            if len(self._items) >= self._size:
                self.flush()
            elif self._items and self._timer is None:
                self._timer = threading.Timer(self._seconds, self._flush_late)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write what waits; items of a failed write wait on."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._items:
                self._write(self._items.copy())
                self._items.clear()

    def _flush_late(self) -> None:
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001  no caller to raise to; the items are kept
            logger.warning("%d items could not be written yet: %s", len(self._items), error)


def _flush_living(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    flush = method()
    try:
        if flush is not None:
            flush()
    except Exception as error:  # noqa: BLE001  no caller to raise to, and no later time to try
        logger.warning("what was written last is lost: %s", error)
