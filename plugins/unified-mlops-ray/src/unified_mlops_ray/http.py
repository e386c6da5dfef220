"""An endpoint over HTTP, in the JSON of Vertex AI."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from unified_mlops.errors import (
    ArgumentError,
    BackendError,
    NotFoundError,
    UnifiedMLOpsError,
)
from unified_mlops.pipelines.component import sentence
from unified_mlops.records import EndpointRecord, PredictionRecord, Row, ServerRecord
from unified_mlops_ray.convert import to_json
from unified_mlops_ray.endpoints import REQUEST

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

LIMIT = 10_000_000
"""The longest body, in bytes."""

PATIENCE = 10
"""How many times that is read and dropped, so that a client who sends first hears the answer."""

GRACE = 5
"""How many seconds calls have to end in when the server stops."""

STATUS = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    413: "INVALID_ARGUMENT",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
"""Google's names of the codes that we answer with."""

Predict = Callable[[Sequence[Row]], PredictionRecord]


def serve(
    endpoint: EndpointRecord,
    predict: Predict,
    describe: Callable[[], EndpointRecord],
    host: str,
    port: int,
) -> ServerRecord:
    """Answer for an endpoint from a thread of this process.

    Args:
        endpoint: the endpoint.
        predict: what to call with the instances of a request.
        describe: returns the endpoint as it stands.
        host: the address to bind.
        port: the port to bind; 0 takes a free one.

    Raises:
        BackendError: the address is taken, or not ours.
    """
    import uvicorn

    listener = _listen(host, port)
    app = _App(endpoint.name, predict, describe).asgi()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE,
        )
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join()
        listener.close()

    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listener.getsockname()[1]}"
    return ServerRecord(ref=endpoint.ref, url=url, stop=stop)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise BackendError(
            f"nothing can listen at {host!r}, port {port}: {error.strerror or error}",
            hint="port=0 takes a free one",
        ) from error


class _App:
    """The routes of one endpoint."""

    def __init__(self, name: str, predict: Predict, describe: Callable[[], EndpointRecord]) -> None:
        self._name = name
        self._predict = predict
        self._describe = describe

    def asgi(self) -> Starlette:
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.requests import ClientDisconnect
        from starlette.routing import Route

        async def refuse(_: Request, error: Exception) -> Response:
            assert isinstance(error, HTTPException)
            return _fault(error.status_code, error.detail)

        async def forget(*_: Any) -> Response:
            return _fault(400, "the client has gone")

        routes = [
            Route("/v1/endpoints/{name}:predict", self.ask, methods=["POST"]),
            Route("/v1/endpoints/{name}", self.show),
        ]
        handlers = {HTTPException: refuse, ClientDisconnect: forget}
        return Starlette(routes=routes, exception_handlers=handlers)

    async def ask(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        if request.path_params["name"] != self._name:
            return _fault(404, f"nothing at {request.url.path}")
        body = await _body(request)
        if body is None:
            return _fault(413, f"the body is longer than {LIMIT} bytes")
        REQUEST.set(_request_id(request))  # in the context of this request's own task
        try:
            return _reply(_answer(await run_in_threadpool(self._predict, _instances(body))))
        except UnifiedMLOpsError as error:
            return _fault(_code(error), str(error))
        except Exception as error:  # noqa: BLE001  a model may fail in any way; the server goes on
            return _fault(500, sentence(error))

    async def show(self, request: Request) -> Response:
        if request.path_params["name"] != self._name:
            return _fault(404, f"nothing at {request.url.path}")
        return _reply(_description(self._describe()))


def _request_id(request: Request) -> str:
    """The id that the caller gave, where it can be one."""
    given = request.headers.get("x-request-id", "").strip()
    return given if given.isprintable() and len(given) <= 200 else ""


def _reply(content: Any, code: int = 200) -> Response:
    from starlette.responses import Response

    return Response(to_json(content), code, media_type="application/json")


def _fault(code: int, message: str) -> Response:
    status = STATUS.get(code, "UNKNOWN")
    return _reply({"error": {"code": code, "message": message, "status": status}}, code)


async def _body(request: Request) -> bytes | None:
    """The body, or None where it is too long."""
    body, length = bytearray(), 0
    async for chunk in request.stream():
        length += len(chunk)
        if length <= LIMIT:
            body += chunk
        elif length > PATIENCE * LIMIT:
            break
    return bytes(body) if length <= LIMIT else None


def _instances(body: bytes) -> list[Row]:
    hint = 'send {"instances": [{...}, ...]}'
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise ArgumentError("the body is not JSON", hint=hint) from error
    if not isinstance(asked, dict) or not isinstance(asked.get("instances"), list):
        raise ArgumentError("the request has no list 'instances'", hint=hint)
    return list(asked["instances"])


def _answer(record: PredictionRecord) -> dict[str, Any]:
    return {
        "predictions": record.predictions,
        "deployedModelId": record.deployment.id,
        "model": record.deployment.model.uri,
        "modelDisplayName": record.deployment.model_name,
        "predictionId": record.ref.id,
    }


def _description(endpoint: EndpointRecord) -> dict[str, Any]:
    return {
        "name": f"endpoints/{quote(endpoint.name)}",
        "displayName": endpoint.name,
        "deployedModels": [
            {"id": item.id, "model": item.model.uri, "displayName": item.model_name}
            for item in endpoint.deployments
        ],
        "trafficSplit": {item.id: item.traffic for item in endpoint.deployments},
    }


def _code(error: UnifiedMLOpsError) -> int:
    if isinstance(error, ArgumentError):
        return 400
    if isinstance(error, NotFoundError):
        return 404
    return 503 if isinstance(error, BackendError) else 500
