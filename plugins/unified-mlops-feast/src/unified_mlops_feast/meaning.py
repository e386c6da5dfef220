"""What a name meant over time, told as aliases: all of it at first, then only what changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import dropwhile

from unified_mlops.records import Alias


@dataclass(frozen=True)
class Meant:
    """A name meant `uri`, with these columns, since a moment that is known or after another.

    `sure` says that this moment is known whatever the name meant before.
    """

    uri: str
    since: float
    after: float | None = None
    fields: tuple[str, ...] | None = None
    sure: bool = False


@dataclass(frozen=True)
class Meaning:
    """A name by which other tools speak of a view, a service or a materialisation.

    Args:
        scope: whose name it is.
        name: such as `feast:<view>`, or a view's URN, whose state it is.
        spans: what it meant, in order.
    """

    scope: str
    name: str
    spans: tuple[Meant, ...]

    @property
    def key(self) -> str:
        """Unique among all registries."""
        return f"{self.scope} {self.name}"

    def aliases(self, known: str | None, looked: float | None, now: float) -> tuple[Alias, ...]:
        """The aliases that were not told yet.

        Args:
            known: what it meant when we last looked.
            looked: when that was; None: never.
            now: when the registry was read.
        """
        return tuple(
            Alias(self.name, span.uri, self.scope, span.since, span.after, fields=span.fields)
            for span in self._news(known, looked, now)
        )

    def _news(self, known: str | None, looked: float | None, now: float) -> Iterable[Meant]:
        if looked is None or known is None:
            first, *rest = self.spans  # what came before it is not known: neither that it was this
            return [replace(first, after=None), *(_not_before(span, looked) for span in rest)]
        later = [span for span in self.spans if span.since > looked]
        later = list(dropwhile(lambda span: span.uri == known, later))
        last = self.spans[-1]
        if not later:  # changed without a time that says so
            return [] if last.uri == known else [Meant(last.uri, now, looked, last.fields)]
        earlier = self.spans[: self.spans.index(later[0])]
        first, *rest = (_not_before(span, looked) for span in later)
        overwritten = not earlier or earlier[-1].uri != known  # what was between them
        if overwritten and not first.sure:
            first = replace(first, after=looked)
        return [first, *rest]


def _not_before(span: Meant, looked: float | None) -> Meant:
    """What we saw when we last looked narrows the doubt."""
    if looked is None or span.after is None or not span.after < looked < span.since:
        return span
    return replace(span, after=looked)
