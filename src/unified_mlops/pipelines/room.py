"""What a machine offers to tasks: slots, CPUs, memory, GPUs; who comes first is served first."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

SLOTS = max(4, os.cpu_count() or 1)
"""How many tasks run at once on this machine."""
ELSEWHERE = 64
"""How many tasks are handed at once to a cluster, which has a queue of its own."""


def this_machine() -> dict[str, float]:
    """The slots, CPUs, bytes of memory and GPUs of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return {
        "slots": SLOTS,
        "cpus": float(os.cpu_count() or 1),
        "memory_bytes": float(memory),
        "gpus": float(gpus),
    }


class Room:
    """Lets tasks in as long as there is room for what they want.

    Args:
        offer: how much there is of what; of anything else there is no end.
    """

    def __init__(self, offer: Mapping[str, float]) -> None:
        self._offer = dict(offer)
        self._free = dict(offer)
        self._waiting: deque[tuple[dict[str, float], asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def taken(self, wanted: Mapping[str, float]) -> AsyncIterator[None]:
        """Wait for room, and keep it; who wants more than there is gets all there is."""
        wants = {
            what: min(amount, self._offer[what])
            for what, amount in {"slots": 1.0, **wanted}.items()
            if what in self._offer
        }
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((wants, turn))
        self._admit()
        await turn
        try:
            yield
        finally:
            for what, amount in wants.items():
                self._free[what] += amount
            self._admit()

    def _admit(self) -> None:
        while self._waiting:
            wants, turn = self._waiting[0]
            if any(amount > self._free[what] + 1e-9 for what, amount in wants.items()):
                return
            self._waiting.popleft()
            for what, amount in wants.items():
                self._free[what] -= amount
            turn.set_result(None)
