"""Reading a KFP server through its REST API (`/apis/v2beta1`), and the lineage of its runs.

The API names the tasks of a run and their states, and the definition says who reads what. It does
not tell where artifacts are (a random part stands in their addresses; they are in ML Metadata
only), nor which task belongs to which iteration of a loop.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from unified_mlops.errors import ArgumentError, BackendError, ConfigError
from unified_mlops.records import Observation, PipelineRecord
from unified_mlops_kfp.convert import pipeline
from unified_mlops_kfp.files import whole
from unified_mlops_kfp.server_run import ServerRun, seconds

_PAGE = 100
_OVERLAP = 60
"""Seconds that are listed twice: a run may be stored after another that began later."""
WAIT = 20
"""Seconds until a server that says nothing is taken to be away."""
_TOKEN_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
"""Where KFP's own client looks."""
_HINT = "see endpoint and token_file in [plugins.kfp]"


class _Stay(HTTPRedirectHandler):
    """Follows no redirect: it would carry the token to whoever is named."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Server:
    """A KFP server's runs. `endpoint` is its address, `name` its host, `uri` its URN.

    Args:
        endpoint: its address, such as `https://host/pipeline`.
        token_file: a file with a token; none where empty.
        namespace: whose runs, where the server has several users.

    Raises:
        ConfigError: the endpoint is no http address, or has a password in it.
    """

    def __init__(self, endpoint: str, token_file: str = "", namespace: str = "") -> None:
        parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
        if parts.username or parts.password:
            raise ConfigError(
                "the endpoint of [plugins.kfp] has a user or a password in it",
                hint="name a file with a token: token_file = ...",
            )
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError(
                f"the endpoint {endpoint!r} is no http address",
                hint='set endpoint = "http://<host>:8888" in [plugins.kfp]',
            )
        self.endpoint = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self.name = parts.netloc.lower()
        self.uri = f"kfp://{self.name}{parts.path.rstrip('/')}"
        self.namespace = namespace
        self._token_file = token_file or os.environ.get(_TOKEN_VARIABLE, "")
        self._specs: dict[str, Any] = {}

    def collect(self, state: Mapping[str, Any]) -> tuple[list[Observation], dict[str, Any]]:
        """The runs that began or ended since the last look, and what to remember of this one.

        Raises:
            BackendError: the server cannot be reached, refuses, or answers no sense.
        """
        since, told = float(state.get("since", 0)), state.get("told", {})
        found: list[Observation] = []
        marks: dict[str, tuple[float, str]] = {}
        newest = since
        for run in self._changed(since):
            key = str(run.get("run_id", ""))
            at = max(seconds(run.get(name)) or 0.0 for name in ("created_at", "finished_at"))
            mark = f"{run.get('state')} {at:.0f}"
            newest = max(newest, at)
            marks[key] = at, mark
            if told.get(key) != mark:
                whole_run = self.get(f"/runs/{quote(key, safe='')}")
                found.append(self._observe(key, whole_run, at))
        kept = {key: mark for key, (at, mark) in marks.items() if at >= newest - _OVERLAP}
        return found, {"since": newest, "told": kept}

    def _changed(self, since: float) -> Iterator[Mapping[str, Any]]:
        """The runs that began since a moment, and those that ended since: each once."""
        if not since:
            yield from self.runs()
            return
        seen = set()
        moment = datetime.fromtimestamp(since - _OVERLAP, timezone.utc)
        for field in ("created_at", "finished_at"):
            text = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
            for run in self.runs(field, "GREATER_THAN_EQUALS", timestamp_value=text):
                if run.get("run_id") not in seen:
                    seen.add(run.get("run_id"))
                    yield run

    def runs(self, key: str = "", operation: str = "", **value: str) -> Iterator[dict[str, Any]]:
        """The runs that a predicate of KFP's filters is true of, oldest first, without their tasks.

        Args:
            key: the field that is compared; all runs where it is empty.
            operation: how.
            value: with what, such as `string_value="x"`.
        """
        query = {"page_size": str(_PAGE), "sort_by": "created_at asc"}
        if key:
            predicate = {"operation": operation, "key": key, **value}
            query["filter"] = json.dumps({"predicates": [predicate]})
        if self.namespace:
            query["namespace"] = self.namespace
        while True:
            answer = self.get(f"/runs?{urlencode(query)}")
            yield from answer.get("runs") or ()
            if not answer.get("next_page_token"):
                return
            query["page_token"] = answer["next_page_token"]

    def _observe(self, key: str, run: Mapping[str, Any], at: float) -> Observation:
        definition = self.definition(run)
        uri = f"{self.uri}/runs/{key}"
        return whole(uri, at, lambda: ServerRun(self.uri, key, run, definition).observe(at))

    def definition(self, run: Mapping[str, Any]) -> PipelineRecord | None:
        """What a run ran: it stands in the run, or is a version of a registered pipeline."""
        spec = run.get("pipeline_spec")
        named = run.get("pipeline_version_reference") or {}
        if not spec and named.get("pipeline_version_id"):
            ids = (named.get("pipeline_id", ""), named["pipeline_version_id"])
            path = "/pipelines/{}/versions/{}".format(*(quote(each, safe="") for each in ids))
            if path not in self._specs:
                self._specs[path] = self.get(path).get("pipeline_spec")
            spec = self._specs[path]
        if not isinstance(spec, Mapping):
            return None
        # with settings for a platform the two documents of the file stand side by side
        whole = {**spec.get("platform_spec", {}), **spec.get("pipeline_spec", spec)}
        try:
            return pipeline(whole)
        except ArgumentError:
            return None

    def check(self) -> None:
        """See that a server of KFP 2 answers, and takes the token.

        Raises:
            BackendError: none does.
        """
        if self.find("/healthz") is not None:
            return
        if self._ask("/apis/v1beta1/healthz") is None:
            raise self.refusal(404)
        raise BackendError(
            f"the KFP server {self.name!r} is of version 1, which runs none of these pipelines",
            hint="upgrade it to Kubeflow Pipelines 2.0 or newer",
        )

    def get(self, path: str) -> dict[str, Any]:
        """What the server answers; nothing there is an error too."""
        found = self.find(path)
        if found is None:
            raise self.refusal(404)
        return found

    def find(self, path: str) -> dict[str, Any] | None:
        """What the server answers; None where it has no such thing."""
        return self._ask(f"/apis/v2beta1{path}")

    def _ask(self, path: str) -> dict[str, Any] | None:
        headers = {"Accept": "application/json", **self._authorization()}
        try:
            with build_opener(_Stay).open(
                Request(self.endpoint + path, headers=headers), timeout=WAIT
            ) as answer:
                content = json.load(answer)
        except HTTPError as error:
            error.close()
            if error.code == 404:
                return None
            raise self.refusal(error.code) from None
        except (URLError, OSError, HTTPException) as error:
            raise self.unreachable(getattr(error, "reason", None) or type(error).__name__) from None
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise BackendError(f"{self.name!r} does not answer as a KFP server does", hint=_HINT)
        return content

    def _authorization(self) -> dict[str, str]:
        token = self.token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def token(self) -> str:
        """The token as it is now; empty where none is configured."""
        if not self._token_file:
            return ""
        try:
            token = Path(self._token_file).expanduser().read_text().strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", "it holds no text")
            raise ConfigError(
                f"the token file {self._token_file!r} cannot be read: {reason}",
                hint="set token_file in [plugins.kfp] to a file with the token and nothing else",
            ) from None
        if not token.isascii() or not token.isprintable():
            raise ConfigError(f"the token file {self._token_file!r} holds no token", hint=_HINT)
        return token

    def unreachable(self, reason: Any) -> BackendError:
        """The error for a server that does not answer."""
        return BackendError(
            f"the KFP server {self.name!r} cannot be reached: {reason}",
            hint="start it, or mend endpoint in [plugins.kfp]",
        )

    def refusal(self, code: int) -> BackendError:
        """The error for a status that is none of success."""
        said = {
            401: "wants a token, or another one",
            403: "does not let this token do that",
            404: "has no such thing, or no API of KFP at this address",
        }
        if 300 <= code < 400:
            return BackendError(
                f"the KFP server {self.name!r} leads to another page, to log in perhaps ({code})",
                hint=_HINT,
            )
        fact = said.get(code, "has an error of its own" if code >= 500 else "refuses")
        return BackendError(f"the KFP server {self.name!r} {fact} ({code})", hint=_HINT)
