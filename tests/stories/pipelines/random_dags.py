"""Random pipelines as plain data: what they do, told by plain Python, and the same in kfp.

Every component is told the number of its statement and writes it down with what it sees.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from kfp import dsl
from tests.stories.pipelines.case import Saw, saw
from tests.stories.pipelines.cases.parts import note, step


@step
def add(tag: int, a: int, b: int) -> int:
    note(tag=tag, a=a, b=b)
    return a + b


@step
def upto(tag: int, n: int) -> list[int]:
    note(tag=tag, n=n)
    return list(range(n % 3))


@step
def total(tag: int, items: list) -> int:
    note(tag=tag, items=items)
    return sum(sum(one) if isinstance(one, list) else one for one in items)


@dataclass(frozen=True)
class Add:
    """Variable `name` is the sum of a variable (none: 1) and a number."""

    name: int
    left: int | None
    right: int


@dataclass(frozen=True)
class Branch:
    """If a variable is larger than a number, one body, else the other; `name` is the last of it.

    Without another body there is no `name`.
    """

    name: int
    on: int
    limit: int
    body: Sequence["Statement"]
    other: Sequence["Statement"]


@dataclass(frozen=True)
class Loop:
    """A body for each item; `name` is the total of the variable `collect` over all of them.

    Items are numbers, or a variable that says how many; `item` is the variable of the item.
    """

    name: int
    item: int
    over: Sequence[int] | int
    body: Sequence["Statement"]
    collect: int


Statement = Add | Branch | Loop


def defined(one: Statement) -> tuple[int, ...]:
    """The variable that a statement defines."""
    return () if isinstance(one, Branch) and not one.other else (one.name,)


def collectable(body: Sequence[Statement]) -> Iterator[int]:
    """The variables of a body that a loop around it can collect, those within groups too.

    kfp can collect neither a OneOf nor what stands beside an Else.
    """
    for one in body:
        if isinstance(one, Branch):
            yield from () if one.other else collectable(one.body)
        else:
            yield one.name
            yield from collectable(one.body) if isinstance(one, Loop) else ()


# --- in plain Python -------------------------------------------------------------------------


class Oracle:
    """Runs a program, and keeps what every component sees."""

    def __init__(self) -> None:
        self.ran: list[Saw] = []

    def run(self, body: Sequence[Statement], known: Mapping[int, Any]) -> dict[int, Any]:
        """The variables of a body, those within its groups too; lists, where it is a loop."""
        made: dict[int, Any] = {}
        for one in body:
            made |= self._one(one, {**known, **made})
        return made

    def _one(self, one: Statement, known: Mapping[int, Any]) -> dict[int, Any]:
        if isinstance(one, Add):
            left = 1 if one.left is None else known[one.left]
            self.ran.append(saw("add", tag=one.name, a=left, b=one.right))
            return {one.name: left + one.right}
        if isinstance(one, Branch):
            body = one.body if known[one.on] > one.limit else one.other
            made = self.run(body, known)
            return {**made, one.name: made[body[-1].name]} if one.other else made
        made = self._loop(one, known)
        items = made[one.collect]
        self.ran.append(saw("total", tag=one.name, items=items))
        return {**made, one.name: sum(sum(i) if isinstance(i, list) else i for i in items)}

    def _loop(self, one: Loop, known: Mapping[int, Any]) -> dict[int, Any]:
        items = one.over
        if isinstance(items, int):
            self.ran.append(saw("upto", tag=one.name, n=known[items]))
            items = range(known[items] % 3)
        turns = [self.run(one.body, {**known, one.item: item}) for item in items]
        return {
            name: [turn[name] for turn in turns if name in turn] for name in collectable(one.body)
        }


# --- in kfp ----------------------------------------------------------------------------------


def build(program: Sequence[Statement]) -> Any:
    """The program as a pipeline."""

    @dsl.pipeline(name="random-dag")
    def random_dag():
        _emit(program, {})

    return random_dag


def _emit(body: Sequence[Statement], known: Mapping[int, Any]) -> dict[int, Any]:
    """Write a body into the pipeline that is being defined; the channels of its variables."""
    made: dict[int, Any] = {}
    for one in body:
        made |= _emit_one(one, {**known, **made})
    return made


def _emit_one(one: Statement, known: Mapping[int, Any]) -> dict[int, Any]:
    if isinstance(one, Add):
        left = 1 if one.left is None else known[one.left]
        return {one.name: add(tag=one.name, a=left, b=one.right).output}
    if isinstance(one, Branch):
        with dsl.If(known[one.on] > one.limit):
            made = _emit(one.body, known)
        if not one.other:
            return made
        with dsl.Else():
            other = _emit(one.other, known)
        either = dsl.OneOf(made[one.body[-1].name], other[one.other[-1].name])
        return {**made, **other, one.name: either}
    over: Any = one.over
    if isinstance(over, int):
        over = upto(tag=one.name, n=known[over]).output
    with dsl.ParallelFor(list(over) if isinstance(over, tuple) else over) as item:
        made = _emit(one.body, {**known, one.item: item})
    return {**made, one.name: total(tag=one.name, items=dsl.Collected(made[one.collect])).output}


# --- at random -------------------------------------------------------------------------------

SMALL = st.integers(-3, 5)


@st.composite
def programs(draw: st.DrawFn) -> Sequence[Statement]:
    """Programs of up to three levels."""
    return _Writer(draw).body([], depth=0)


class _Writer:
    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._names = iter(range(1, 1000))
        self._either: set[int] = set()  # kfp cannot ask for a OneOf, or collect one

    def body(self, known: Sequence[int], depth: int) -> Sequence[Statement]:
        """One to three statements, of which the first is an Add."""
        written: list[Statement] = []
        for n in range(self._draw(st.integers(1, 3))):
            kinds = ["add"] if n == 0 or depth == 2 else ["add", "branch", "loop"]
            there = [*known, *(name for one in written for name in defined(one))]
            written.append(getattr(self, f"_{self._draw(st.sampled_from(kinds))}")(there, depth))
        return tuple(written)

    def _add(self, known: Sequence[int], _: int) -> Add:
        left = self._draw(st.sampled_from([None, *known]))
        return Add(next(self._names), left, self._draw(SMALL))

    def _branch(self, known: Sequence[int], depth: int) -> Branch:
        on = self._draw(st.sampled_from([name for name in known if name not in self._either]))
        body, other = (self._ended(self.body(known, depth + 1)) for _ in range(2))
        other = other if self._draw(st.booleans()) else ()
        name = next(self._names)
        self._either.add(name)
        return Branch(name, on, self._draw(SMALL), body, other)

    def _ended(self, body: Sequence[Statement]) -> Sequence[Statement]:
        """With an Add at the end: kfp wants no OneOf of a OneOf."""
        return (*body, Add(next(self._names), None, self._draw(SMALL)))

    def _loop(self, known: Sequence[int], depth: int) -> Loop:
        fixed = st.lists(SMALL, min_size=1, max_size=3).map(tuple)
        over = self._draw(st.one_of(fixed, st.sampled_from(list(known))))
        item = next(self._names)
        body = self.body([*known, item], depth + 1)
        made = sorted(collectable(body))
        return Loop(next(self._names), item, over, body, self._draw(st.sampled_from(made)))
