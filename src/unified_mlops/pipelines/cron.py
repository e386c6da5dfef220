"""When something is due: five fields of a crontab in a time zone."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from itertools import takewhile

from unified_mlops.errors import ArgumentError

_EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)
_FORM = re.compile(r"\s*(?:(?:CRON_)?TZ=(\S+)\s)?(.*)")


@dataclass(frozen=True, slots=True)
class Cron:
    """When something is due: a time zone and the five fields of a crontab.

    Args:
        text: such as `0 6 * * *`, in UTC, or `TZ=Europe/Berlin 0 6 * * *`.
    """

    text: str

    def check(self) -> None:
        """See that it says when something is due.

        Raises:
            ArgumentError: the fields or the time zone are wrong, or nothing is ever due.
        """
        if next(self.after(_EPOCH), None) is None:
            raise self._wrong("it is never due")

    @property
    def zone(self) -> tzinfo:
        """The time zone."""
        from zoneinfo import ZoneInfo

        match = _FORM.fullmatch(str(self.text))
        name = match and match[1]
        try:
            return ZoneInfo(name) if name else timezone.utc
        except (LookupError, ValueError, OSError) as error:
            hint = "cron='TZ=Europe/Berlin 0 6 * * *'; where no zone is known: pip install tzdata"
            raise ArgumentError(f"there is no time zone {name!r}", hint=hint) from error

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The due times after a moment, each once, in UTC.

        As in Debian's cron, what is due at fixed hours is due once where clocks are turned back,
        and as soon as the hour has passed where they are turned forward and leave it out.
        """
        from cronsim import CronSim, CronSimError

        match = _FORM.fullmatch(str(self.text))
        expression = match[2] if match else ""
        if len(expression.split()) != 5:
            raise self._wrong("it has not five fields")
        try:
            found = CronSim(expression, moment.astimezone(self.zone))
        except CronSimError as error:
            raise self._wrong(str(error)) from error
        last = moment
        for local in found:
            due = local.astimezone(timezone.utc)
            if due > last:  # within an hour that comes twice the library can go back
                last = due
                yield due

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The due times after one moment, and at or before another."""
        return takewhile(lambda due: due <= until, self.after(after))

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """The last due time after one moment, and at or before another."""
        span = timedelta(hours=1)
        while True:
            start = max(after, until - span)
            last = deque(self.between(start, until), maxlen=1)
            if last or start == after:
                return last[0] if last else None
            span *= 8

    def _wrong(self, why: str) -> ArgumentError:
        hint = 'five fields, such as cron="TZ=Europe/Berlin 0 6 * * *"'
        return ArgumentError(f"{self.text!r} is no time specification: {why}", hint=hint)


def moment(given: str | datetime | None, name: str) -> datetime | None:
    """A point in time, in UTC.

    Args:
        given: ISO 8601 with a time zone.
        name: of the argument that it was given as.

    Raises:
        ArgumentError: it is no point in time, or names no time zone.
    """
    if given is None:
        return None
    hint = f"{name}='2026-01-31T06:00:00+00:00'"
    try:
        text = given.replace("Z", "+00:00") if isinstance(given, str) else ""
        found = given if isinstance(given, datetime) else datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentError(f"{name} {given!r} is no moment", hint=hint) from error
    if found.tzinfo is None:
        raise ArgumentError(f"{name} {given!r} names no time zone", hint=hint)
    return found.astimezone(timezone.utc)
