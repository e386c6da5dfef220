"""A filter's text as a tree, by the grammar of AIP-160.

expression := sequence ("AND" sequence)*      sequence := factor factor*
factor := term ("OR" term)*                   term := ["NOT" | "-"] simple
simple := "(" expression ")" | restriction    restriction := path sign value | name "(" … ")"
value := text | "(" expression of texts ")"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from unified_mlops.filters.nodes import And, Call, Comparison, Filter, Literal, Node, Not, Or, Test
from unified_mlops.filters.scan import Scanner

_SIGNS = ("<=", ">=", "!=", "=", "<", ">", ":")
_VALUE = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)"  # a moment has colons
    r"|[^\s()<>=!:,\"'\\]+"
)
_KEYWORD = re.compile(r"(?:AND|OR|NOT)(?=[\s(]|$)")
_MEANT = {"and": "AND", "&&": "AND", "or": "OR", "||": "OR", "not": "NOT"}
_DEPTH = 50
_EXAMPLES: Mapping[type, str] = {
    float: "a number, such as 0.5",
    bool: "true or false",
    datetime: 'a moment as RFC 3339, such as "2026-01-31T08:00:00Z"',
    timedelta: "a duration in seconds, such as 1.5s",
}


def parse(
    text: str,
    fields: Mapping[str, type] | None = None,
    functions: Mapping[str, Test] | None = None,
) -> Filter:
    """Read a filter; an empty one passes everything.

    Args:
        text: the filter, in the language of this package.
        fields: the fields there are, and the type of each: `str`, `float` for any number, `bool`,
            `datetime`, `timedelta`, `dict` and `list` for those of anything, `object` where it is
            not known. None: any field, of any type.
        functions: the functions there are, by name; each takes the record and texts.

    Raises:
        ArgumentError: it cannot be read; points at the column and says what belongs there.
    """
    return Filter(text, _Parser(text, fields, functions or {}).filter())


class _Parser(Scanner):
    _deep = 0

    def __init__(
        self, text: str, fields: Mapping[str, type] | None, functions: Mapping[str, Test]
    ) -> None:
        super().__init__("filter", text, fields)
        self._kinds = fields or {}
        self._functions = functions

    def filter(self) -> Node:
        if self.skip() == len(self.text):
            return And(())
        node = self._expression(self._restriction)
        if self.skip() < len(self.text):
            raise self.error("this parenthesis closes nothing", "leave it out")
        return node

    def _expression(self, leaf: Callable[[], Node]) -> Node:
        nodes = [self._factor(leaf)]
        while self.skip() < len(self.text) and self.text[self.at] != ")":
            self._keyword("AND")
            nodes.append(self._factor(leaf))
        return nodes[0] if len(nodes) == 1 else And(tuple(nodes))

    def _factor(self, leaf: Callable[[], Node]) -> Node:
        nodes = [self._term(leaf)]
        while self._keyword("OR"):
            nodes.append(self._term(leaf))
        return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))

    def _term(self, leaf: Callable[[], Node]) -> Node:
        # In a list of values `-1` is a number, and elsewhere no name begins with `-`.
        if self._keyword("NOT") or (leaf == self._restriction and self.sign("-")):
            return Not(self._simple(leaf))
        return self._simple(leaf)

    def _simple(self, leaf: Callable[[], Node]) -> Node:
        start = self.skip()
        if not self.sign("("):
            return leaf()
        self._deep += 1
        if self._deep > _DEPTH:
            raise self.error(f"more than {_DEPTH} parentheses", "write it flatter", start)
        node = self._expression(leaf)
        if not self.sign(")"):
            raise self.error("this parenthesis has no end", "close it with )", start)
        self._deep -= 1
        return node

    def _restriction(self) -> Node:
        start = self.skip()
        self._refuse_keyword("a field", self.names())
        path = self.path()
        if self.text.startswith("(", self.at):
            return self._call(".".join(path), start)
        at = self.skip()
        sign = self.sign(*_SIGNS)
        if not sign and path[0] in _MEANT:
            raise self.error(f"{path[0]!r} is no operator", f"write {_MEANT[path[0]]}", start)
        self.check(path[0], start)
        if not sign:
            hint = f"compare it: {'.'.join(path)} followed by one of {' '.join(_SIGNS)}"
            raise self.error("no operator stands here", hint, at)
        self._check_sign(path, sign, at)
        return self._values(path, sign)

    def _values(self, path: tuple[str, ...], sign: str) -> Node:
        """A comparison with one value, or with several in parentheses."""

        def leaf() -> Node:
            start = self.skip()
            literal = self._literal(sign)
            self._check_type(path, sign, literal, start)
            return Comparison(path, sign, literal)

        return self._simple(leaf)

    def _literal(self, after: str) -> Literal:
        self.skip()
        pieces = self.quoted()
        if pieces is not None:
            return Literal(pieces)
        self._refuse_keyword("a value", "put it in quotes if it is the value")
        start, text = self.skip(), self.take(_VALUE)
        here = self.text[self.at : self.at + 1]
        if text and (not here or here.isspace() or here in "),"):
            return Literal(tuple(text.split("*")))
        if text and here == "(":
            raise self.error("a function cannot be a value", "write the value itself", start)
        if not here:
            raise self.error(f"nothing stands after {after!r}", "write a value, such as 1 or 'x'")
        if not text and here == "=":
            raise self.error(f"'{after}=' is no operator", f"write {after}")
        raise self.error(f"{here!r} cannot stand here", "put a value in quotes")

    def _call(self, name: str, start: int) -> Node:
        if name not in self._functions:
            known = ", ".join(f"{known}(…)" for known in self._functions)
            hint = f"the functions are {known}" if known else "compare a field with a value"
            raise self.error(f"there is no function {name!r}", hint, start)
        self.sign("(")
        arguments: list[str] = []
        while not self.sign(")"):
            if arguments and not self.sign(","):
                raise self.error("no comma stands here", "write , between two values, or )")
            arguments.append(self._literal("(").text)
        return Call(name, tuple(arguments), self._functions[name])

    def _keyword(self, word: str) -> bool:
        start = self.skip()
        if self.take(_KEYWORD) == word:
            return True
        self.at = start
        return False

    def _refuse_keyword(self, wanted: str, hint: str) -> None:
        start = self.skip()
        if word := self.take(_KEYWORD):
            raise self.error(f"{word} stands where {wanted} belongs", hint, start)

    def _check_sign(self, path: tuple[str, ...], sign: str, at: int) -> None:
        kind, name = self._kinds.get(path[0], object), path[0]
        if len(path) > 1 and (kind is str or kind in _EXAMPLES):
            raise self.error(f"{name!r} has no fields of its own", f"write {name} {sign} …", at)
        if len(path) == 1 and kind in (dict, list) and sign != ":":
            forms = f"{name}:key or {name}.key = value" if kind is dict else f"{name}:value"
            raise self.error(f"{name!r} cannot be compared by {sign!r}", f"write {forms}", at)
        if len(path) == 1 and kind is bool and sign not in ("=", "!=", ":"):
            hint = f"write {name} = true or {name} = false"
            raise self.error(f"{name!r} is true or false, and has no order", hint, at)

    def _check_type(self, path: tuple[str, ...], sign: str, literal: Literal, start: int) -> None:
        kind = self._kinds.get(path[0], object)
        asks = sign == ":" and literal.anything
        if len(path) == 1 and kind in _EXAMPLES and not asks and literal.read(kind) is None:
            fact = f"{literal.text!r} cannot be compared with {path[0]!r}"
            raise self.error(fact, f"write {_EXAMPLES[kind]}", start)
