"""What of MLflow's free texts may be shown: no passwords, tokens and keys."""

from __future__ import annotations

import re
from collections.abc import Mapping

from unified_mlops.lineage import urn
from unified_mlops.records import Scalar

LONGEST = 200
"""Characters of a text that are shown."""
MODELS = "models:/"
_SECRET_KEY = re.compile(
    r"passw|pwd|passphrase|token(?!s|iz)|secret|credential|signature|(^|[^a-z])(auth|sas|pat)([^a-z]|$)"
    r"|(^|[^a-z]|api|access|private|account)keys?([^a-z]|$)",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"AKIA[0-9A-Z]{12,}|gh[pousr]_\w{20,}|glpat-[\w-]{16,}|hf_\w{16,}|sk-[\w-]{16,}|xox[a-z]-[\w-]{10,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|-----BEGIN[^-]*PRIVATE KEY"
)


def clean(text: str) -> str:
    """A text without the credentials in it."""
    scheme = MODELS if text.startswith(MODELS) else ""  # `models:/name@alias` looks like a user
    text = scheme + urn.without_secrets(text.removeprefix(scheme))
    return "***" if _SECRET_VALUE.search(text) else text


def shown(params: Mapping[str, Scalar], most: int) -> dict[str, Scalar]:
    """The first `most` params by name that may be shown.

    Args:
        params: by name; those whose names speak of a secret are left out.
        most: how many.
    """
    open_ = [key for key in sorted(params) if not _SECRET_KEY.search(key)][:most]
    return {key: _short(params[key]) for key in open_}


def _short(value: Scalar) -> Scalar:
    if not isinstance(value, str):
        return value
    text = clean(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
