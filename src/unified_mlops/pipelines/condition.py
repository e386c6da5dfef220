"""`triggerPolicy.condition`: the small part of CEL that KFP's compiler writes.

    or := and ('||' and)*        and := not ('&&' not)*       not := '!' not | compare
    compare := value (('==' | '!=' | '<' | '<=' | '>' | '>=') value)?
    value := '(' or ')' | 'int(' or ')' | 'double(' or ')' | literal
           | inputs.parameter_values['name']

The text is parsed and never evaluated as code: a parameter's value cannot become part of it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from unified_mlops.errors import ArgumentError, PipelineError

Evaluate = Callable[[Mapping[str, Any]], Any]

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<input>inputs\.parameter_values\[(?P<quote>['"])(?P<name>.*?)(?P=quote)\])
    | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<word>true|false|int|double)\b
    | (?P<sign>&&|\|\||[=!<>]=|[<>!()])
    )""",
    re.VERBOSE | re.DOTALL,
)
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CASTS: Mapping[str, Callable[[Any], Any]] = {"int": int, "double": float}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed condition.

    Args:
        text: the condition as the compiled file has it.

    Raises:
        ArgumentError: it is not in the language above.
    """

    text: str
    _evaluate: Evaluate = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_evaluate", _Parser(self.text).parse())

    def holds(self, parameters: Mapping[str, Any]) -> bool:
        """Whether the condition is true of a task's input parameters.

        Raises:
            PipelineError: it compares or casts what cannot be, or reads what is not there.
        """
        try:
            return _boolean(self._evaluate(parameters))
        except (KeyError, TypeError, ValueError) as error:
            raise PipelineError(
                f"the condition {self.text!r} cannot be decided: {error}",
                hint="compare values of one type",
            ) from error


class _Parser:
    """Recursive descent; each rule returns a function from parameters to a value."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._token = self._next()

    def parse(self) -> Evaluate:
        whole = self._or()
        if self._token is not None or self._text[self._at :].strip():
            raise self._error()
        return whole

    def _next(self) -> re.Match[str] | None:
        found = _TOKEN.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _take(self, *signs: str) -> str | None:
        """The next token, where it is one of these."""
        found = self._token and self._token[0].strip()
        if not found or found not in signs:
            return None
        self._token = self._next()
        return found

    def _or(self) -> Evaluate:
        left = self._and()
        while self._take("||"):
            left = _either(left, self._and())
        return left

    def _and(self) -> Evaluate:
        left = self._not()
        while self._take("&&"):
            left = _both(left, self._not())
        return left

    def _not(self) -> Evaluate:
        if not self._take("!"):
            return self._compare()
        inner = self._not()
        return lambda parameters: not _boolean(inner(parameters))

    def _compare(self) -> Evaluate:
        left = self._value()
        sign = self._take(*_COMPARE)
        if sign is None:
            return left
        right = self._value()
        return lambda parameters: _compare(sign, left(parameters), right(parameters))

    def _value(self) -> Evaluate:
        cast = self._take(*_CASTS)
        if cast or self._token_is("("):
            inner = self._parenthesis()
            return inner if cast is None else lambda p: _cast(cast, inner(p))
        token = self._token
        if token is None or token["sign"] or token["word"] in _CASTS:
            raise self._error()
        self._token = self._next()
        if token["input"]:
            name = token["name"]
            return lambda parameters: parameters[name]
        value = _literal(token)
        return lambda _: value

    def _token_is(self, sign: str) -> bool:
        return self._token is not None and self._token["sign"] == sign

    def _parenthesis(self) -> Evaluate:
        if not self._take("("):
            raise self._error()
        inner = self._or()
        if not self._take(")"):
            raise self._error()
        return inner

    def _error(self) -> ArgumentError:
        return ArgumentError(
            f"the condition {self._text!r} cannot be read near column {self._at}",
            hint="compare with a literal that holds no quote, by == != < <= > >=",
        )


def _literal(token: re.Match[str]) -> bool | int | float | str:
    if token["word"]:
        return bool(token["word"] == "true")
    if token["text"]:
        escaped = re.compile(r"\\(.)", re.DOTALL)
        return escaped.sub(lambda m: _ESCAPES.get(m[1], m[1]), token["text"][1:-1])
    number = token["number"]
    return int(number) if re.fullmatch(r"-?\d+", number) else float(number)


def _both(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda p: _boolean(left(p)) and _boolean(right(p))


def _either(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda p: _boolean(left(p)) or _boolean(right(p))


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is not true or false")
    return value


def _cast(name: str, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"{value!r} is not a number")
    number: int | float = _CASTS[name](value)
    return number


def _compare(sign: str, left: Any, right: Any) -> bool:
    kinds = {_kind(left), _kind(right)}
    if len(kinds) > 1:
        raise TypeError(f"{left!r} and {right!r} are of different types")
    return _COMPARE[sign](left, right)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__
