"""What tasks want is honoured as a limit on how many run at once."""

from __future__ import annotations

import asyncio

import pytest

from unified_mlops.errors import ArgumentError
from unified_mlops.pipelines.container import resources
from unified_mlops.pipelines.room import Room, this_machine


def most_at_once(offer: dict[str, float], wanted: list[dict[str, float]]) -> int:
    """How many were in the room at the same time."""
    inside = most = 0

    async def visit(room: Room, wants: dict[str, float]) -> None:
        nonlocal inside, most
        async with room.taken(wants):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    async def every() -> None:
        room = Room(offer)
        await asyncio.gather(*(visit(room, wants) for wants in wanted))

    asyncio.run(every())
    return most


@pytest.mark.parametrize(
    ("wanted", "most"),
    [
        ([{}] * 9, 4),
        ([{"cpus": 1.0}] * 9, 2),
        ([{"cpus": 0.5}] * 9, 4),
        ([{"memory_bytes": 6e9}] * 3, 1),
        ([{"memory_bytes": 5e9}] * 3, 2),
    ],
)
def test_no_more_run_than_there_is_room_for(wanted: list[dict[str, float]], most: int) -> None:
    assert most_at_once({"slots": 4, "cpus": 2, "memory_bytes": 10e9}, wanted) == most


def test_who_wants_more_than_there_is_runs_alone() -> None:
    assert most_at_once({"slots": 4, "cpus": 2}, [{"cpus": 16.0}, {"cpus": 1.0}]) == 1


def test_of_what_is_not_offered_there_is_no_end() -> None:
    assert most_at_once({"slots": 64}, [{"cpus": 8.0, "gpus": 1.0}] * 20) == 20


def test_who_comes_first_is_served_first() -> None:
    order: list[int] = []

    async def visit(room: Room, number: int, wants: dict[str, float]) -> None:
        async with room.taken(wants):
            order.append(number)
            await asyncio.sleep(0.01)

    async def every() -> None:
        room = Room({"slots": 4, "cpus": 2})
        wants = [{"cpus": 1.0}, {"cpus": 2.0}, {"cpus": 1.0}]
        await asyncio.gather(*(visit(room, n, it) for n, it in enumerate(wants)))

    asyncio.run(every())
    assert order == [0, 1, 2]


def test_a_machine_offers_what_it_has() -> None:
    offer = this_machine()
    assert offer["slots"] >= 4
    assert offer["cpus"] >= 1
    assert offer["memory_bytes"] > 1e8


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ({"resourceCpuLimit": "500m", "resourceMemoryLimit": "2Gi"}, (0.5, 2 * 1024**3)),
        ({"cpuLimit": 2.0, "memoryLimit": 1.5}, (2.0, 1.5e9)),
        ({"resourceCpuRequest": "1", "resourceMemoryRequest": "512M"}, (1.0, 512e6)),
    ],
)
def test_quantities_are_read_as_kubernetes_reads_them(
    raw: dict[str, object], found: tuple[float, float]
) -> None:
    assert resources(raw) == {"cpus": found[0], "memory_bytes": found[1]}


def test_accelerators_are_gpus_and_nonsense_is_refused() -> None:
    assert resources({"accelerator": {"count": "2", "type": "nvidia"}}) == {"gpus": 2.0}
    with pytest.raises(ArgumentError, match="'many' is no quantity"):
        resources({"resourceCpuLimit": "many"})
