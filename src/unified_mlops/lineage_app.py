"""The lineage pages beside MLflow's own: `mlflow server --app-name unified_mlops`.

`/lineage` lists what the workspace's graph knows; `/lineage/<run id>`, or any other name that
`umlops lineage up` takes, is the page of one thing. They only read, and of the graph as it was
last collected.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from unified_mlops.errors import BackendError, NotFoundError, UnifiedMLOpsError

if TYPE_CHECKING:
    from unified_mlops.lineage.store import Store
    from unified_mlops.session import Session

LISTED = {"registered_model": "Models", "model_version": "Model versions", "run": "Runs"}
NEWEST = 200
"""How many of a kind are listed."""

_STATUS = {NotFoundError: 404, BackendError: 503}
_RUN = "mlflow:run/"
_RUN_ID = re.compile("[0-9a-f]{32}")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Lineage</title>
<style>body {{ font: 14px/1.5 system-ui, sans-serif; margin: 24px }} li {{ margin: 2px 0 }}</style>
<h1>{heading}</h1>{body}</html>
"""


def create_app() -> Any:
    """MLflow's own app with the lineage pages; what MLflow's `mlflow.app` entry point calls."""
    from mlflow.server import app

    return _served(add_pages(app))


def add_pages(app: Any) -> Any:
    """Add the pages, which answer GET and HEAD only, to a Flask app.

    Args:
        app: MLflow's own.
    """
    pages = Pages()
    views: dict[str, Callable[..., Any]] = {
        "/lineage": pages.index,
        "/lineage/<path:thing>": pages.thing,
    }
    for route, view in views.items():
        app.add_url_rule(_prefixed(route), route, _explained(view), methods=["GET"])
    return app


class Pages:
    """The pages of the session that the server's working directory and environment describe."""

    def __init__(self) -> None:
        self._opened: Session | None = None

    def index(self) -> Any:
        """The newest models and runs, each a link to its page."""
        store, parts = self._session().lineage.store, []
        for kind, title in LISTED.items():
            if items := [_item(uri, name) for uri, name in _newest(store, kind)]:
                parts.append(f"<h2>{title}</h2><ul>{''.join(items)}</ul>")
        body = "".join(parts) or "<p>Nothing yet. Type: umlops lineage collect</p>"
        return _answer(_PAGE.format(heading="Lineage", body=body))

    def thing(self, thing: str) -> Any:
        """The lineage of one thing: upstream, downstream, and of its columns."""
        from unified_mlops.lineage import render

        lineage = self._session().lineage
        uri = lineage.resolve(f"{_RUN}{thing}" if _RUN_ID.fullmatch(thing) else thing)
        sections = [
            ("Upstream", lineage.upstream(uri)),
            ("Downstream", lineage.downstream(uri)),
            ("Columns", lineage.upstream(uri, plane="column")),
        ]
        return _answer(render.html(sections, heading=f"Lineage of {thing}"))

    def _session(self) -> Session:
        from unified_mlops.session import Session

        self._opened = self._opened or Session()
        return self._opened


def _explained(view: Callable[..., Any]) -> Callable[..., Any]:
    """The view, which answers an error of ours with a page that says what to do."""

    def answer(**arguments: Any) -> Any:
        try:
            return view(**arguments)
        except UnifiedMLOpsError as error:
            status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 400)
            body = f"<p>{escape(error.fact)}</p><p>{escape(error.hint or '')}</p>"
            return _answer(_PAGE.format(heading="No lineage", body=body), status)

    return answer


def _newest(store: Store, kind: str) -> list[tuple[str, str]]:
    """URN and name of the newest things of a kind, without reading all the others."""
    from sqlalchemy import select

    from unified_mlops.lineage.schema import tables

    if not store.database.exists:
        return []
    node = tables().tables["node"].c
    query = select(node.uri, node.name).where(node.kind == kind)
    query = query.order_by(node.time.desc().nulls_last()).limit(NEWEST)
    with store.database.reading() as connection:
        return [(row.uri, row.name) for row in connection.execute(query)]


def _item(uri: str, name: str) -> str:
    link = quote(uri.removeprefix(_RUN), safe="")
    return f'<li><a href="lineage/{link}">{escape(name)}</a> <small>{escape(uri)}</small></li>'


def _answer(page: str, status: int = 200) -> Any:
    from flask import Response

    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return Response(page, status, headers, mimetype="text/html")


def _prefixed(route: str) -> str:
    """A route below the server's `--static-prefix`, by MLflow's own rule (3.17, not public)."""
    from mlflow.server.handlers import _add_static_prefix

    return str(_add_static_prefix(route))


def _served(app: Any) -> Any:
    """The app as the server takes it: uvicorn, MLflow's default, wants an ASGI app (3.17)."""
    from mlflow.environment_variables import _MLFLOW_SGI_NAME
    from mlflow.server.fastapi_app import create_fastapi_app

    return create_fastapi_app(app) if _MLFLOW_SGI_NAME.get() == "uvicorn" else app
