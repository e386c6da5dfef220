"""Instrumenting a command that knows nothing of us, for `umlops run`.

A folder with a `sitecustomize` goes to the front of `PYTHONPATH`, so that every Python that the
command starts imports it first. It waits for the modules that plugins want to patch. A plugin
offers a patch by an entry point:

    [project.entry-points."unified_mlops.instruments"]
    "feast.feature_store" = "unified_mlops_feast.instrument:stamp_retrievals"

The name is the module to patch, the value a function that is called with it once it is imported.
Nothing of the plugin is imported before that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

GROUP = "unified_mlops.instruments"
VARIABLE = "UNIFIED_MLOPS_INSTRUMENTS"
"""Holds, as JSON, the patches by the module that they are for."""
HOOK = str(Path(__file__).parent / "hook")


def instruments() -> dict[str, list[str]]:
    """The patches that the installed plugins offer, by the module that they are for."""
    found: dict[str, list[str]] = {}
    for entry in sorted(entry_points(group=GROUP)):
        found.setdefault(entry.name, []).append(entry.value)
    return found


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """The variables with which a command is run so that it is instrumented.

    Args:
        base: the variables that it would be run with.
    """
    path = [HOOK, *(each for each in base.get("PYTHONPATH", "").split(os.pathsep) if each != HOOK)]
    return {
        **base,
        VARIABLE: json.dumps(instruments()),
        "PYTHONPATH": os.pathsep.join(each for each in path if each),
    }
