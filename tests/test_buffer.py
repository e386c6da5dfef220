import gc
import subprocess
import sys
import time

import pytest

from unified_mlops.buffer import Buffer


def test_items_go_out_in_order_and_together() -> None:
    batches: list[list[int]] = []
    buffer: Buffer[int] = Buffer(batches.append, size=3, seconds=60)
    for item in range(7):
        buffer.add(item)
    assert batches == [[0, 1, 2], [3, 4, 5]]
    buffer.flush()
    assert batches[-1] == [6]


def test_an_item_waits_no_longer_than_its_time() -> None:
    batches: list[list[int]] = []
    Buffer(batches.append, seconds=0.05).add(1)
    deadline = time.monotonic() + 5
    while not batches and time.monotonic() < deadline:
        time.sleep(0.01)
    assert batches == [[1]]


def test_items_of_a_failed_write_are_kept() -> None:
    written: list[int] = []
    broken = [True]

    def write(items: list[int]) -> None:
        if broken[0]:
            raise OSError("disk full")
        written.extend(items)

    buffer: Buffer[int] = Buffer(write, seconds=60)
    buffer.add(1)
    with pytest.raises(OSError, match="disk full"):
        buffer.flush()
    broken[0] = False
    buffer.add(2)
    buffer.flush()
    assert written == [1, 2]


def test_items_that_wait_are_written_at_exit() -> None:
    program = (
        "from unified_mlops.buffer import Buffer\n"
        "keep = Buffer(lambda items: print(items), seconds=60)\n"
        "keep.add('last')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['last']\n"


def test_a_dropped_buffer_is_not_kept_alive_by_the_exit_handler() -> None:
    import weakref

    buffer: Buffer[int] = Buffer(lambda items: None)
    alive = weakref.ref(buffer)
    del buffer
    gc.collect()
    assert alive() is None
