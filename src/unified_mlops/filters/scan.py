"""Reading a text from left to right, with errors that point at the column."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches

from unified_mlops.errors import ArgumentError

_SPACE = re.compile(r"\s*")
_WORD = r"[^\s()<>=!:,.\"'\\]+"
_NAME = re.compile(rf"(?!-){_WORD}")
_QUOTED = re.compile(r"""(["'])((?:(?!\1)[^\\]|\\.)*)\1""", re.DOTALL)
_PIECE = re.compile(r"\\(.)|(\*)|([^\\*]+)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "*": "*"}
_WIDTH = 60  # how much of a long text an error shows on each side of the column


class Scanner:
    """A text and how far it was read.

    Args:
        what: how errors call the text, such as `filter`.
        text: the text.
        fields: the names that a path may begin with; None: any.
    """

    def __init__(self, what: str, text: str, fields: Collection[str] | None) -> None:
        self._what = what
        self.text = text
        self.fields = fields
        self.at = 0

    def skip(self) -> int:
        """Go to the next character that is no space, and say where that is."""
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at

    def take(self, pattern: re.Pattern[str]) -> str:
        """What the pattern finds here, after spaces; empty if it finds nothing."""
        found = pattern.match(self.text, self.skip())
        if not found:
            return ""
        self.at = found.end()
        return found[0]

    def sign(self, *signs: str) -> str:
        """The first of these that stands here, after spaces; empty if none does."""
        self.skip()
        found = next((sign for sign in signs if self.text.startswith(sign, self.at)), "")
        self.at += len(found)
        return found

    def path(self) -> tuple[str, ...]:
        """A dotted path; names may stand in quotes.

        Raises:
            ArgumentError: there is none.
        """
        self.skip()
        names = [self._name("a field")]
        while self.text.startswith(".", self.at):
            self.at += 1
            names.append(self._name("a name after the dot"))
        return tuple(names)

    def check(self, field: str, at: int) -> None:
        """See that a field is known.

        Raises:
            ArgumentError: it is not; names those that are.
        """
        if self.fields is None or field in self.fields:
            return
        near = get_close_matches(field, self.fields, 1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        known = f"the fields are {', '.join(sorted(self.fields))}"
        raise self.error(f"there is no field {field!r}", f"{guess}{known}", at)

    def quoted(self) -> tuple[str, ...] | None:
        """A text in quotes as the pieces between its wildcards; None if no quote stands here.

        Raises:
            ArgumentError: the quote does not end, or an escape is unknown.
        """
        start = self.at
        if self.text[start : start + 1] not in ('"', "'"):
            return None
        found = _QUOTED.match(self.text, start)
        if not found:
            raise self.error("this quote has no end", f"close it with {self.text[start]}", start)
        self.at = found.end()
        pieces = [""]
        for part in _PIECE.finditer(found[2]):
            escaped, star, plain = part.groups()
            if star:
                pieces.append("")
            elif escaped and escaped not in _ESCAPED:
                where = found.start(2) + part.start()
                known = r"the escapes are \n \t \r \\ \" \' \*"
                raise self.error(f"unknown escape {part[0]!r}", known, where)
            else:
                pieces[-1] += _ESCAPED[escaped] if escaped else plain
        return tuple(pieces)

    def error(self, fact: str, hint: str, at: int | None = None) -> ArgumentError:
        """The error at a column, or here, with a line that shows it.

        Args:
            fact: what is wrong there.
            hint: what is expected there.
            at: the column, from 0; where the reading stands if left out.
        """
        column = self.skip() if at is None else at
        start = max(0, column - _WIDTH)
        shown = re.sub(r"\s", " ", self.text[start : column + _WIDTH])
        whole = self.text if len(self.text) <= 2 * _WIDTH else f"{self.text[: 2 * _WIDTH]}…"
        where = f"{self._what} {whole!r}, column {column + 1}: {fact}"
        return ArgumentError(f"{where}\n  {shown}\n  {' ' * (column - start)}^", hint=hint)

    def _name(self, wanted: str) -> str:
        pieces = self.quoted()
        if pieces is not None:
            return "*".join(pieces)
        found = _NAME.match(self.text, self.at)
        if not found:
            what = repr(self.text[self.at]) if self.at < len(self.text) else "nothing"
            raise self.error(f"{what} stands where {wanted} belongs", self.names(), self.at)
        self.at = found.end()
        return found[0]

    def names(self) -> str:
        """What to write where a field belongs."""
        names = ", ".join(sorted(self.fields)) if self.fields else 'display_name, labels."a.b"'
        return f"name a field, such as {names}"
