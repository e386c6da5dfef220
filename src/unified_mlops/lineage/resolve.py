"""From what people call a thing to its URN."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from unified_mlops.errors import LineageError, NotFoundError
from unified_mlops.lineage.names import look_up, meanings
from unified_mlops.lineage.store import Store
from unified_mlops.lineage.urn import canonical, column
from unified_mlops.records import Alias, Claim


def resolve(store: Store, text: str, at: float) -> str:
    """The URN of a URN, a path, a name as of a moment, or any of these with `#column`.

    Raises:
        NotFoundError: the graph does not know it.
        LineageError: several things are called so.
    """
    bare, mark, field = text.partition("#")
    places = [text]
    if "://" not in text or text.startswith("file:"):
        place = canonical(bare, Path.cwd())
        places.append(column(place, field) if mark else place)
    known = store.nodes(places)
    for place in places:
        if place in known:
            return place
    found = _by_name(store, text, at)
    if not found and mark:
        found = _columns(store, _by_name(store, bare, at), field)
    if len(found) == 1:
        return found[0]
    if found:
        hint = f"one of: {', '.join(found)}"
        raise LineageError(f"{len(found)} things are called {text!r}", hint=hint)
    raise _unknown(store, text)


def _by_name(store: Store, name: str, at: float) -> list[str]:
    """What an alias of that name means, else the nodes that are called so."""
    aliases = [
        Alias(**row | {"fields": None}) for row in store.aliases([name])
    ]  # fields matter to claims only
    meant = look_up(Claim(name, "DERIVES", "", "", at), meanings(aliases))
    return meant or [node.uri for node in store.called(name)]


def _columns(store: Store, things: list[str], field: str) -> list[str]:
    columns = [column(thing, field) for thing in things]
    known = store.nodes(columns)
    return [uri for uri in columns if uri in known]


def _unknown(store: Store, text: str) -> NotFoundError:
    names = store.like(text)
    near = get_close_matches(text, names, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "umlops lineage collect"
    return NotFoundError(f"the graph does not know {text!r}", hint=hint)
