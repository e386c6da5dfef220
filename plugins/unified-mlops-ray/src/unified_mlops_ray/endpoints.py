"""Endpoints in this process: a YAML file each, and a log of what was asked and answered."""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from unified_mlops.errors import AlreadyExistsError, ArgumentError, BackendError, NotFoundError
from unified_mlops.records import (
    Deployment,
    Edge,
    EndpointRecord,
    ModelVersionRecord,
    PredictionRecord,
    Ref,
    Row,
)
from unified_mlops_ray import deployments
from unified_mlops_ray.convert import answers, storage, to_json
from unified_mlops_ray.deployments import Held

SUFFIX = ".yaml"
REQUESTS = "requests.jsonl"
PATIENCE = 10.0

REQUEST: ContextVar[str] = ContextVar("unified_mlops_ray_request", default="")
"""The id that the caller gave to the request that is being answered."""


class Endpoints:
    """The endpoints of one folder; safe to use from several threads and processes.

    Args:
        folder: where `<name>.yaml` and `<name>/requests.jsonl` stand; made when needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scope = deployments.scope(folder)
        self._random = random.SystemRandom()  # no seed, no state that a fork would share
        self._read: dict[str, tuple[tuple[int, int], EndpointRecord]] = {}
        self._models: dict[str, dict[str, Any]] = {}
        self._loading = threading.Lock()

    def create(self, name: str) -> EndpointRecord:
        """Create an endpoint without models."""
        path = self._path(name)
        with self._locked():
            if path.exists():
                raise AlreadyExistsError(
                    f"endpoint {name!r} exists", hint=f"Endpoint({name!r}), or another name"
                )
            self._write(path, deployments.empty(name))
        return self.get(name)

    def names(self) -> list[str]:
        """The endpoints there are."""
        return sorted(path.name.removesuffix(SUFFIX) for path in self.folder.glob(f"*{SUFFIX}"))

    def get(self, name: str) -> EndpointRecord:
        """An endpoint as it stands now."""
        path = self._path(name)
        try:
            stat = path.stat()
        except OSError as error:
            raise NotFoundError(
                f"no endpoint {name!r} (there is: {', '.join(self.names()) or 'none'})",
                hint=f"Endpoint.create({name!r})",
            ) from error
        version = (stat.st_mtime_ns, stat.st_ino)
        known = self._read.get(name)
        if known is None or known[0] != version:
            known = self._read[name] = (version, deployments.record(self.load(name), self.scope))
        return known[1]

    def load(self, name: str) -> Held:
        """An endpoint's file as plain values."""
        import yaml

        path = self._path(name)
        try:
            with storage(path):
                held = yaml.safe_load(path.read_text("utf-8"))
            deployments.record(held, self.scope)
        except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
            raise BackendError(
                f"{str(path)!r} is no endpoint", hint="restore it from a backup, or remove it"
            ) from error
        return dict(held)

    def deploy(
        self, name: str, model: ModelVersionRecord, split: Mapping[str, int]
    ) -> EndpointRecord:
        """Add a model version; in the split it is `"0"`."""
        with self._changed(name) as held:
            deployments.deploy(held, model, split)
        return self.get(name)

    def undeploy(self, name: str, deployment: str, split: Mapping[str, int]) -> EndpointRecord:
        """Take a deployment off."""
        with self._changed(name) as held:
            deployments.undeploy(held, deployment, split)
        return self.get(name)

    def predict(
        self, name: str, instances: Sequence[Row], load: Callable[[Ref], Any]
    ) -> PredictionRecord:
        """Answer by a model drawn by the traffic split, and log the call."""
        import pandas as pd

        rows = _rows(instances)
        endpoint = self.get(name)
        if not endpoint.deployments:
            raise ArgumentError(f"endpoint {name!r} has no model", hint="endpoint.deploy(model)")
        weights = [deployment.traffic for deployment in endpoint.deployments]
        (chosen,) = self._random.choices(endpoint.deployments, weights)
        predictions = answers(self._model(endpoint, chosen, load).predict(pd.DataFrame(rows)))
        if len(predictions) != len(rows):
            raise BackendError(
                f"{chosen.model_name!r} gave {len(predictions)} answers to {len(rows)} instances",
                hint="its predict(frame) must answer every row",
            )
        record = _prediction(endpoint, chosen, predictions)
        self._log(record, rows)
        return record

    def requests(self, name: str) -> Path:
        """The log of an endpoint's calls: a JSON object a line."""
        return self._path(name).with_suffix("") / REQUESTS

    def _model(
        self, endpoint: EndpointRecord, chosen: Deployment, load: Callable[[Ref], Any]
    ) -> Any:
        uri = chosen.model.uri
        loaded = self._models.get(endpoint.name, {})
        if uri not in loaded:
            with self._loading:
                loaded = self._models.get(endpoint.name, {})
                if uri not in loaded:
                    deployed = {deployment.model.uri for deployment in endpoint.deployments}
                    kept = {key: model for key, model in loaded.items() if key in deployed}
                    loaded = self._models[endpoint.name] = {**kept, uri: load(chosen.model)}
        return loaded[uri]

    def _log(self, record: PredictionRecord, rows: list[Row]) -> None:
        path = self.requests(record.endpoint.id)
        call = {
            "id": record.ref.id,
            "time": datetime.now(timezone.utc).isoformat(),
            "deployment": record.deployment.id,
            "model": record.deployment.model.uri,
            "instances": rows,
            "predictions": record.predictions,
        }
        if request := REQUEST.get():
            call["request"] = request
        line = to_json(call).encode() + b"\n"
        with storage(path):
            path.parent.mkdir(exist_ok=True)
            log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                written = os.write(log, line)  # one call: lines of others do not get into it
            finally:
                os.close(log)
        if written != len(line):
            raise BackendError(f"{str(path)!r} is cut short", hint="free space on its disk")

    def _path(self, name: str) -> Path:
        wrong = not name or name.startswith(".") or name.endswith(SUFFIX) or len(name) > 100
        if wrong or any(letter in "/\\" or not letter.isprintable() for letter in name):
            raise ArgumentError(
                f"{name!r} cannot be the name of an endpoint",
                hint="give up to 100 letters, digits, '-' and '_'",
            )
        return self.folder / f"{name}{SUFFIX}"

    @contextmanager
    def _changed(self, name: str) -> Iterator[Held]:
        """The endpoint's file, written back where the block raises nothing."""
        self.get(name)
        with self._locked():
            held = self.load(name)
            yield held
            self._write(self._path(name), held)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        with storage(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock", timeout=PATIENCE)
        try:
            lock.acquire()
        except Timeout as error:
            raise BackendError(
                f"{str(self.folder)!r} is locked by another process", hint="try again"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _write(self, path: Path, held: Held) -> None:
        import yaml

        text = yaml.safe_dump(held, sort_keys=False, allow_unicode=True)
        with storage(path):
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=".")
            new = Path(name)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(path)
            finally:
                new.unlink(missing_ok=True)


def _rows(instances: Sequence[Row]) -> list[Row]:
    rows = list(instances)
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        raise ArgumentError(
            "the instances are not rows by column name", hint='give [{"x": 1.0}, ...]'
        )
    return rows


def _prediction(
    endpoint: EndpointRecord, chosen: Deployment, predictions: list[Any]
) -> PredictionRecord:
    key = uuid4().hex
    uri = f"prediction:{key}"
    return PredictionRecord(
        ref=Ref("ray", "prediction", key, uri),
        edges=(Edge(chosen.model.uri, "DERIVES", uri, "declared"),),
        predictions=tuple(predictions),
        deployment=chosen,
        endpoint=endpoint.ref,
    )
