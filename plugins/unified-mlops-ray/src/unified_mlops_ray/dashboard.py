"""A cluster's dashboard over plain HTTP: asking it needs no Ray in this process."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from unified_mlops.errors import BackendError
from unified_mlops_ray import connect
from unified_mlops_ray.secrets import masked

PATIENCE = 5.0
_KEY = "[plugins.ray] dashboard = 'http://host:8265'"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that answers: where its dashboard is, and the name of its session.

    The session's name is new each time a cluster is started; `job_id` and addresses are not.
    """

    url: str
    session: str

    @property
    def uri(self) -> str:
        """The URN of the cluster."""
        return f"ray://{self.session}"

    def ask(self, path: str) -> Any:
        """The answer to a GET.

        Raises:
            BackendError: there is none, or it is no JSON.
        """
        return _get(self.url, path)


def find(dashboard: str | None, address: str | None, known: str) -> Cluster | None:
    """The configured cluster; None where none is, or where its address is one only Ray can tell.

    Args:
        dashboard: the dashboard's URL, if it is configured.
        address: the cluster's address, `host:port`, or its dashboard's URL.
        known: the URL that this address had before; empty where that is not known.

    Raises:
        BackendError: it does not answer, or as nothing that Ray's dashboard would.
    """
    url = dashboard or (address if address and address.startswith("http") else "")
    if url:
        return _open(url.rstrip("/"))
    if not address or "://" in address or ":" not in address:
        return None
    if problem := connect.probe(address):
        raise BackendError(problem, hint="start it, or take its address out: [plugins.ray] address")
    if known:
        try:
            return _open(known)
        except BackendError:  # another cluster may stand at this address now
            known = ""
    url = _dashboard_of(address)
    return _open(url) if url else None


def _open(url: str) -> Cluster:
    answer = _get(url, "/api/version")
    session = answer.get("session_name") if isinstance(answer, dict) else None
    if not isinstance(session, str) or not session:
        raise BackendError(f"{masked(url)!r} is no dashboard of Ray", hint=_KEY)
    return Cluster(url, session)


def _get(url: str, path: str) -> Any:
    place = masked(url)
    request = Request(url + path)
    if urlsplit(url).scheme not in {"http", "https"}:
        raise BackendError(f"{place!r} is no URL of a dashboard", hint=_KEY)
    if token := _token():
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)
    except HTTPError as error:
        error.close()  # it holds the connection
        fact = f"Ray's dashboard at {place!r} answers {error.code} to {path}"
        denied = error.code in {401, 403}
        raise BackendError(fact, hint="export RAY_AUTH_TOKEN=…" if denied else _KEY) from error
    except (OSError, ValueError, HTTPException) as error:
        reason = masked(str(getattr(error, "reason", "") or error))
        fact = f"Ray's dashboard at {place!r} does not answer: {reason}"
        raise BackendError(fact, hint=_KEY) from error


def _token() -> str:
    """The token that Ray's own clients send, from where they take it; empty where there is none."""
    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        return ""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    place = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(place) if place else Path.home() / ".ray" / "auth_token"
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):  # the cluster will say whether it wants one
        return ""


def _dashboard_of(address: str) -> str:
    """Where the cluster at an address has its dashboard; empty without one.

    Ray's public client waits 40 s for one that a cluster does not have, and takes `RAY_ADDRESS`
    for whatever it was given: so this reads, as Ray 2.60 does, the cluster's own note of it.
    """
    from ray import _raylet
    from ray._private import ray_constants

    client: Any = _raylet  # compiled: nothing tells its types
    found = client.GcsClient(address=connect.native(address)).internal_kv_get(
        str(ray_constants.DASHBOARD_ADDRESS).encode(),
        namespace=ray_constants.KV_NAMESPACE_DASHBOARD,
        timeout=PATIENCE,
    )
    return f"http://{bytes(found).decode()}" if found else ""
