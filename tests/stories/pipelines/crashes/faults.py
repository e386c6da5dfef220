"""Pipelines whose components tell what they do, or misbehave."""

# The bodies and signatures of components and pipelines are what users write.
# ruff: noqa: PTH104, PTH110, PTH123
from functools import partial
from typing import Any, List  # noqa: UP035  KFP's artifact lists are written so

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

component = partial(dsl.component, base_image="python:3.11")
TASK = dsl.PIPELINE_TASK_NAME_PLACEHOLDER


@component
def step(lines: str, task: str, n: int, note: Output[Dataset], seconds: float = 0.05) -> int:
    """Tell when it begins and when it ends."""
    import time

    def tell(word):
        with open(lines, "a") as file:
            file.write(f"{word} {task}\n")

    tell("begin")
    time.sleep(seconds)
    with open(note.path, "w") as file:
        file.write(str(n))
    tell("end")
    return n * 2 + 1


@component
def join(lines: str, task: str, numbers: list, notes: Input[List[Dataset]]) -> str:  # noqa: UP006
    with open(lines, "a") as file:
        file.write(f"begin {task}\nend {task}\n")
    return f"{numbers} {[open(note.path).read() for note in notes]}"


@dsl.pipeline(name="diamond")
def diamond(lines: str, seconds: float = 0.05) -> str:
    """One, then two beside each other, then a loop of two each, then one."""
    say = partial(step, lines=lines, task=TASK, seconds=seconds)
    first = say(n=1)
    left, right = say(n=first.outputs["Output"]), say(n=first.outputs["Output"])
    with dsl.ParallelFor([1, 2, 3, 4, 5]) as item:
        upper = say(n=item).after(left, right)
        lower = say(n=upper.outputs["Output"])
    made = dsl.Collected(lower.outputs["Output"]), dsl.Collected(lower.outputs["note"])
    return join(lines=lines, task=TASK, numbers=made[0], notes=made[1]).output


@component
def hang(place: str, once: bool = False) -> str:
    """Say which process it is, and sleep; not if it is to do so once and has."""
    import os
    import time

    if once and os.path.exists(place):
        return "awake"
    with open(place, "w") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(60)
    return "slept"


@dsl.pipeline(name="neighbours")
def neighbours(place: str, once: str, lines: str) -> str:
    hung = hang(place=place)
    step(lines=lines, task=TASK, n=1).after(hung)
    step(lines=lines, task=TASK, n=2, seconds=0.5)
    return hang(place=once, once=True).set_retry(1, backoff_duration="0s").output


@component
def scatter(place: str):
    """Leave a child, one with a session of its own that is deaf, and a daemon."""
    import os
    import subprocess
    import time

    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    pids = [subprocess.Popen(["sleep", "60"]).pid]
    pids.append(subprocess.Popen(["python3", "-c", deaf], start_new_session=True).pid)
    if not os.fork():
        os.setsid()
        if not os.fork():
            with open(place + ".part", "w") as file:
                file.write(f"{' '.join(map(str, [*pids, os.getpid()]))}\n")
            os.rename(place + ".part", place)
            time.sleep(60)
        os._exit(0)
    while not os.path.exists(place):
        time.sleep(0.01)


@component
def flood(megabytes: int):
    """Print a line without an end, then many short ones."""
    import sys

    for _ in range(megabytes // 2):
        sys.stdout.write("x" * 2**20)
    for number in range(megabytes // 2):
        sys.stdout.write(f"{number} yyyyyyyyyyyyyy\n" * (2**20 // 18))
    print("the last line")


@component
def fill(data: Output[Dataset], most: int):
    """Write more than its folder takes."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    with open(data.path, "w") as file:
        for _ in range(100):
            file.write("x" * most)


@component
def deaf(place: str):
    """Ignore that it is asked to end, and so does its child."""
    import os
    import signal
    import subprocess
    import time

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "60"])
    with open(place, "w") as file:
        file.write(f"{os.getpid()} {child.pid}\n")
    while True:
        time.sleep(1)


@component
def fail():
    raise ValueError("as ever")


@component
def large(size: int) -> str:
    return "x" * size


@component
def echo(lines: str, text: str) -> str:
    with open(lines, "a") as file:
        file.write("begin echo\n")
    return text


@dsl.pipeline(name="echoes")
def echoes(lines: str, place: str, text: str) -> None:
    once = echo(lines=lines, text=text)
    hang(place=place).after(echo(lines=lines, text=once.output))


def single(made: Any, name: str, *, wait: str = "", times: int = 0) -> Any:
    """A pipeline of one component, retried after a while."""

    @dsl.pipeline(name=name)
    def alone(place: str = "", number: int = 0):
        takes = made.component_spec.inputs or {}
        given = {"place": place, "megabytes": number, "most": number, "size": number}
        task = made(**{name: value for name, value in given.items() if name in takes})
        if times:
            task.set_retry(times, backoff_duration=wait)

    return alone
