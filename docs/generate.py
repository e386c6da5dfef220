"""Write docs/hooks.md from the hook specifications: `make docs`."""

from __future__ import annotations

import inspect
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from unified_mlops.hookspecs import NOUNS, SPECS
from unified_mlops.lineage.declare import declaration_of
from unified_mlops.loader import GROUP

PAGE = Path(__file__).parent / "hooks.md"
HEAD = """\
# Hooks

The whole contract between the facade and the plugins; `make docs` writes this page from
`hookspecs.py`. A plugin overrides the hooks that its tool can serve. A hook is asked of the plugin
that owns its first argument, else of the one that `[providers]` names for the noun, else of the
only one that overrides it. Its lineage says which arguments it reads and which it writes.
"""


def text() -> str:
    """The page."""
    plugins = {point.name: point.load() for point in sorted(entry_points(group=GROUP))}
    parts = [HEAD]
    for noun, hooks in NOUNS.items():
        parts.append(f"## {noun}\n\n{inspect.getdoc(hooks)}\n")
        parts += [section(name, plugins) for name in vars(hooks) if name in SPECS]
    return "\n".join(parts)


def section(name: str, plugins: dict[str, Any]) -> str:
    """One hook: its exact signature, its words, its lineage and who serves it."""
    spec = SPECS[name]
    signature = str(inspect.signature(spec)).replace("'", "").replace("(self, ", "(")
    signature = signature.replace("(self)", "()")
    doc = re.sub(r"^:param (\w+): ", r"- `\1`: ", inspect.getdoc(spec) or "", flags=re.M)
    doc = re.sub(r"^:raises (\w+): ", r"- raises `\1`: ", doc, flags=re.M)
    doc = re.sub(r"^:returns: ", "- returns ", doc, flags=re.M)
    served = [plugin for plugin, cls in plugins.items() if getattr(cls, name, spec) is not spec]
    return (
        f"### {name}\n\n```text\n{name}{signature}\n```\n\n{doc}\n\n"
        f"Lineage: {lineage_of(name)}. Served by: {', '.join(served)}.\n"
    )


def lineage_of(name: str) -> str:
    """What a hook reads and writes, in words."""
    declaration = declaration_of(SPECS[name])
    if declaration is None:
        raise LookupError(f"{name} declares no lineage")
    if declaration.excuse:
        return f"none ({declaration.excuse})"
    sides = {"reads": declaration.reads, "writes": declaration.writes}
    return ", ".join(f"{side} {', '.join(names)}" for side, names in sides.items() if names)


if __name__ == "__main__":
    PAGE.write_text(text())
