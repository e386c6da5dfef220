"""Endpoints in memory, and one over HTTP."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

from unified_mlops.errors import AlreadyExistsError, ArgumentError, UnifiedMLOpsError
from unified_mlops.hookspecs import EndpointHooks
from unified_mlops.records import (
    Deployment,
    Edge,
    EndpointRecord,
    ModelVersionRecord,
    Node,
    PredictionRecord,
    Ref,
    Row,
    ServerRecord,
)
from unified_mlops.testing.memory.store import Store, missing


class MemoryEndpoints(Store, EndpointHooks):
    """Endpoints that call their models in this process."""

    def __init__(self, workspace: Path) -> None:
        super().__init__(workspace)
        self.served: dict[str, Edge] = {}

    def mlops_create_endpoint(self, name: str) -> EndpointRecord:
        """Create an endpoint."""
        if name in [endpoint.name for endpoint in self._all(EndpointRecord)]:
            raise AlreadyExistsError(f"endpoint {name!r} exists", hint="choose another name")
        return self._keep(EndpointRecord(ref=self._ref("endpoint", name), name=name), name)

    def mlops_list_endpoints(self) -> Sequence[EndpointRecord]:
        """Return the endpoints by name."""
        return sorted(self._all(EndpointRecord), key=lambda endpoint: endpoint.name)

    def mlops_deploy_model(
        self, endpoint: EndpointRecord, model: ModelVersionRecord, split: Mapping[str, int]
    ) -> EndpointRecord:
        """Add a deployment."""
        old = self._find(EndpointRecord, endpoint.ref)
        new = Deployment(self._ref("deployment").id, model.ref, model.name, 0)
        traffic = {new.id if key == "0" else key: share for key, share in split.items()}
        node = Node(model.ref.uri, model.ref.kind, f"{model.name}@{model.version}")
        edge = Edge(model.ref.uri, "DERIVES", old.ref.uri, since=time.time())
        answer = self._route(old, [*old.deployments, new], traffic, (*old.edges, edge))
        self.served[new.id] = edge
        self._observe(old.ref, old.name, [edge], [node])
        return answer

    def mlops_undeploy_model(
        self, endpoint: EndpointRecord, deployment: str, split: Mapping[str, int]
    ) -> EndpointRecord:
        """Take a deployment off."""
        old = self._find(EndpointRecord, endpoint.ref)
        left = [held for held in old.deployments if held.id != deployment]
        if len(left) == len(old.deployments):
            known = [held.id for held in left]
            raise missing(f"endpoint {old.name!r} has no deployment {deployment!r}", known)
        begun = self.served[deployment]
        ended = replace(begun, until=time.time())
        edges = tuple(ended if edge is begun else edge for edge in old.edges)
        answer = self._route(old, left, split, edges)
        self._observe(old.ref, old.name, [ended])
        return answer

    def mlops_predict(
        self,
        endpoint: EndpointRecord,
        instances: Sequence[Row],
        load: Callable[[Ref], Any],
    ) -> PredictionRecord:
        """Answer by a model drawn by its traffic."""
        import pandas as pd

        held = self._find(EndpointRecord, endpoint.ref)
        if not held.deployments:
            raise ArgumentError(f"endpoint {held.name!r} has no model", hint="deploy one first")
        weights = [deployment.traffic for deployment in held.deployments]
        chosen = random.choices(held.deployments, weights)[0]
        answer = load(chosen.model).predict(pd.DataFrame(list(instances)))
        ref = self._ref("prediction")
        ref = replace(ref, uri=f"prediction:{ref.id}")
        record = PredictionRecord(
            ref=ref,
            edges=tuple(Edge(uri, "DERIVES", ref.uri) for uri in (chosen.model.uri, held.ref.uri)),
            predictions=tuple(answer.tolist() if hasattr(answer, "tolist") else answer),
            deployment=chosen,
            endpoint=held.ref,
        )
        return self._keep(record, ref.id, record.edges)

    def mlops_serve_endpoint(
        self,
        endpoint: EndpointRecord,
        predict: Callable[[Sequence[Row]], PredictionRecord],
        host: str,
        port: int,
    ) -> ServerRecord:
        """Answer over HTTP from a thread of this process."""
        held = self._find(EndpointRecord, endpoint.ref)
        path = f"/v1/endpoints/{quote(held.name)}:predict"
        server = ThreadingHTTPServer((host, port), _handler(path, predict))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        url = f"http://{host}:{server.server_address[1]}"
        return ServerRecord(ref=held.ref, url=url, stop=stop)

    def _route(
        self,
        old: EndpointRecord,
        deployments: Sequence[Deployment],
        split: Mapping[str, int],
        edges: tuple[Edge, ...],
    ) -> EndpointRecord:
        """Set the traffic, once the split is seen to be one."""
        known = [deployment.id for deployment in deployments]
        whole = all(type(share) is int and 0 <= share <= 100 for share in split.values())
        if not whole or not set(split) <= set(known) or sum(split.values()) != 100 * bool(known):
            raise ArgumentError(
                f"{dict(split)!r} is no traffic split of {known!r}",
                hint="give whole percentages by deployment id that sum to 100",
            )
        shared = tuple(replace(held, traffic=split.get(held.id, 0)) for held in deployments)
        return self._keep(replace(old, deployments=shared, edges=edges), old.name)


def _handler(
    path: str, predict: Callable[[Sequence[Row]], PredictionRecord]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Answer one call."""
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = self.path == path
            status, content = _respond(body, predict) if found else _fault(404, "no such endpoint")
            answer = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing on the terminal."""

    return Handler


def _respond(
    body: bytes, predict: Callable[[Sequence[Row]], PredictionRecord]
) -> tuple[int, dict[str, Any]]:
    """Vertex's `predict` in JSON."""
    try:
        record = predict(_instances(body))
    except (UnifiedMLOpsError, ValueError) as error:
        return _fault(400, str(error))
    return 200, {
        "predictions": list(record.predictions),
        "deployedModelId": record.deployment.id,
        "modelDisplayName": record.deployment.model_name,
    }


def _instances(body: bytes) -> list[Row]:
    request = json.loads(body)
    if not isinstance(request, dict) or not isinstance(request.get("instances"), list):
        raise ArgumentError("the request has no instances", hint='send {"instances": [...]}')
    return list(request["instances"])


def _fault(code: int, message: str) -> tuple[int, dict[str, Any]]:
    status = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND"}[code]
    return code, {"error": {"code": code, "message": message, "status": status}}
