"""What a name meant at a moment: aliases follow one another, each until the next begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from math import inf

from unified_mlops.lineage.urn import column
from unified_mlops.records import Alias, Claim


@dataclass(frozen=True, slots=True)
class Meaning:
    """A thing that a name meant, from when on and up to when, both as wide as they may be.

    Args:
        alias: what says so.
        begin: from when on it may have.
        exact: whether it did at `begin` itself; otherwise only after it.
        end: the first moment at which it did no longer.
        doubted: from when on the next meaning may have begun.
    """

    alias: Alias
    begin: float
    exact: bool
    end: float
    doubted: float

    def holds(self, at: float | None) -> bool:
        """Whether the name may have meant it at a moment; None asks for a lasting name."""
        if at is None:
            return self.begin == -inf and self.end == inf
        return (self.begin < at or (self.exact and self.begin == at)) and at < self.end

    def spans(self) -> Iterator[tuple[float, float, bool]]:
        """From when to when it held, and whether that is sure."""
        sure = (_since(self.alias), min(self.doubted, self.end))
        if sure[0] >= sure[1]:
            yield self.begin, self.end, False
            return
        for begin, end, certain in ((self.begin, sure[0], False), (*sure, True)):
            if begin < end:
                yield begin, end, certain
        if sure[1] < self.end:
            yield sure[1], self.end, False


def meanings(aliases: Iterable[Alias]) -> Iterator[Meaning]:
    """The meanings of one name, scope by scope, in the order of time."""
    for _, own in groupby(sorted(set(aliases), key=_order), key=lambda alias: alias.scope):
        told = list(own)
        ended = {(alias.uri, _since(alias)) for alias in told if alias.until is not None}
        chain = [a for a in told if a.until is not None or (a.uri, _since(a)) not in ended]
        begins = sorted({_since(alias) for alias in chain})
        following = dict(zip(begins, [*begins[1:], inf], strict=True))
        for alias in chain:
            end = following[_since(alias)] if alias.until is None else alias.until
            next_ones = [_begin(a) for a in chain if _since(a) == end and alias.until is None]
            if alias.uri:
                doubted = min([end, *next_ones])
                yield Meaning(alias, _begin(alias), alias.after is None, end, doubted)


def look_up(claim: Claim, known: Iterable[Meaning]) -> list[str]:
    """The URNs that a claim may mean: one, none, or several where nothing tells them apart."""
    found = []
    for meaning in known:
        alias = meaning.alias
        if claim.scope and alias.scope != claim.scope:
            continue
        if claim.field and alias.fields is not None and claim.field not in alias.fields:
            continue
        if meaning.holds(claim.at):
            found.append(column(alias.uri, claim.field) if claim.field else alias.uri)
    return list(dict.fromkeys(found))


def _since(alias: Alias) -> float:
    return -inf if alias.since is None else alias.since


def _begin(alias: Alias) -> float:
    return _since(alias) if alias.after is None else alias.after


def _order(alias: Alias) -> tuple[str, float, str, str]:
    return alias.scope, _since(alias), alias.uri, repr(alias)
