"""Keeping secrets out of what is shown: in command lines, metadata and URLs."""

from __future__ import annotations

import re

MASK = "***"

_WORD = (
    r"[\w.-]*(?:pass(?:word|wd|phrase)?|pwd|token(?!iz)|secret|key|credentials?|auth(?!ors?\b)|dsn)"
    r"[\w-]*"
)
_VALUE = r"(\"[^\"]*\"|'[^']*'|[^\s,;&}\"']+)"
_SECRETS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{4,}"), MASK),
    (re.compile(r"(?i)([?&]sig(?:nature)?=)[^&\s\"']+"), rf"\1{MASK}"),
    (re.compile(r"([A-Za-z][\w+.-]*://)[^/\s\"']*@"), rf"\1{MASK}@"),
    (re.compile(rf"(?i)({_WORD}[\"']?\s*[=:]\s*){_VALUE}"), rf"\1{MASK}"),
    (re.compile(rf"(?i)(?<!\S)(--?{_WORD}\s+){_VALUE}"), rf"\1{MASK}"),
    (re.compile(r"\b(AKIA|ASIA|gh[pousr]_|glpat-|xox[abp]-|sk-|hf_|eyJ)[\w.-]{8,}"), MASK),
)
_KEY = re.compile(rf"(?i){_WORD}")


def masked(text: str) -> str:
    """A text in which the values after words like `password`, and logins in URLs, are hidden."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def is_secret(name: str) -> bool:
    """Whether a name is one under which people keep secrets."""
    return bool(_KEY.fullmatch(name))
