"""Whole pipelines on a KFP server: submitted, cancelled and deleted through `kfp.Client`.

The calls go through the generated API that the client offers (`client.runs`), as its own
`run_pipeline` does too. That one would wait for ever for a server that hangs, print links, and
send the file as protobuf reads it: numbers as floats, and a caching option only at the top.
"""

from __future__ import annotations

import json
import ssl
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

from unified_mlops.errors import (
    AlreadyExistsError,
    ArgumentError,
    BackendError,
    NotFoundError,
    UnsupportedError,
)
from unified_mlops.records import JobRequest, PipelineJobRecord, PipelineRecord, Ref
from unified_mlops_kfp.server import WAIT, Server
from unified_mlops_kfp.server_job import OURS, has_ended, job_record
from unified_mlops_kfp.shown import clean

_EXACT = 2**53
"""KFP holds numbers as doubles, in which larger integers are not exact."""
_LONGEST = 500


class Jobs:
    """The jobs of a server.

    Args:
        server: the server, read over its REST API.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._experiments: dict[str, str] = {}

    def submit(self, pipeline: PipelineRecord, job: JobRequest) -> PipelineJobRecord:
        """Create a run of a compiled pipeline; see `mlops_submit_pipeline`."""
        _check_asked(job)
        _check_parameters(pipeline, job.parameters)
        self._server.check()
        if self.list(job.name):
            raise AlreadyExistsError(
                f"the KFP server {self._server.name!r} has a job {job.name!r} already",
                hint="give another job_id",
            )
        with self._client() as client:
            experiment = self._experiment(client, job.experiment or "Default")
            run = client.api_models.V2beta1Run(
                display_name=job.display_name,
                description=OURS + job.name,
                experiment_id=experiment,
                pipeline_spec=_file(pipeline.spec, job.caching),
                runtime_config=client.api_models.V2beta1RuntimeConfig(
                    parameters=dict(job.parameters), pipeline_root=job.root or None
                ),
            )
            made = client.runs.run_service_create_run(run=run, _request_timeout=WAIT)
        return self._read(str(made.run_id))

    def get(self, job: Ref) -> PipelineJobRecord:
        """A job as it is now."""
        return self._read(job.id)

    def list(self, name: str) -> list[PipelineJobRecord]:
        """The jobs of a name, or all of them; a run that was started otherwise has its id."""
        wanted = ("description", "EQUALS") if name else ()
        value = {"string_value": OURS + name} if name else {}
        runs = [*self._server.runs(*wanted, **value)]
        if name and not runs and (run := self._server.find(f"/runs/{quote(name, safe='')}")):
            runs = [run]
        records = [self._record(run, tasks=False) for run in runs]
        return [record for record in records if name in {"", record.name}]

    def cancel(self, job: Ref) -> PipelineJobRecord:
        """Ask the server to stop a job that has not ended."""
        record = self._read(job.id)
        if has_ended(record.state) or record.state == "PIPELINE_STATE_CANCELLING":
            return record
        with self._client() as client:
            client.runs.run_service_terminate_run(run_id=job.id, _request_timeout=WAIT)
        return self._read(job.id)

    def delete(self, job: Ref) -> None:
        """Delete the server's record of a job that has ended."""
        record = self._read(job.id)
        if not has_ended(record.state):
            raise ArgumentError(f"job {record.name!r} has not ended", hint="job.cancel() first")
        with self._client() as client:
            client.runs.run_service_delete_run(run_id=job.id, _request_timeout=WAIT)

    def _read(self, key: str) -> PipelineJobRecord:
        run = self._server.find(f"/runs/{quote(key, safe='')}")
        if run is None:
            self._server.check()
            raise NotFoundError(
                f"the KFP server {self._server.name!r} has no job {key!r}",
                hint="PipelineJob.list() names the jobs that there are",
            )
        return self._record(run)

    def _record(self, run: Mapping[str, Any], *, tasks: bool = True) -> PipelineJobRecord:
        try:
            definition = self._server.definition(run)
            experiment = self._experiment_name(str(run.get("experiment_id") or ""))
            return job_record(self._server.uri, run, definition, experiment, tasks=tasks)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BackendError(
                f"a run of {self._server.name!r} is not what KFP writes ({type(error).__name__})",
                hint="see endpoint in [plugins.kfp]",
            ) from None

    def _experiment_name(self, key: str) -> str:
        if key and key not in self._experiments:
            found = self._server.find(f"/experiments/{quote(key, safe='')}") or {}
            self._experiments[key] = str(found.get("display_name") or "")
        return self._experiments.get(key, "")

    def _experiment(self, client: Any, name: str) -> str:
        """The id of an experiment, which is made where it is new."""
        space = {"namespace": found} if (found := client.get_user_namespace()) else {}
        wanted = [{"operation": "EQUALS", "key": "display_name", "string_value": name}]
        known = client.experiments.experiment_service_list_experiments(
            filter=json.dumps({"predicates": wanted}), _request_timeout=WAIT, **space
        ).experiments
        if not known:
            new = client.api_models.V2beta1Experiment(display_name=name, **space)
            known = [
                client.experiments.experiment_service_create_experiment(
                    experiment=new, _request_timeout=WAIT
                )
            ]
        return str(known[0].experiment_id)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """A client of the server; what it raises becomes an error of ours, without the token."""
        from kfp_server_api import ApiException  # type: ignore[import-untyped]
        from urllib3.exceptions import HTTPError

        token = self._server.token()
        try:
            yield client_of(self._server.endpoint, token, self._server.namespace)
        except ApiException as error:
            if not error.status:  # it has no status where TLS failed
                raise self._server.unreachable(clean(str(error.reason))) from None
            refusal = self._server.refusal(error.status)
            said = _said(error.body, token)
            fact = f"{refusal.fact}: {said}" if said else refusal.fact
            raise BackendError(fact, hint=refusal.hint) from None
        except HTTPError as error:
            reason = f"{type(error).__name__}; what was asked of it may have been done"
            raise self._server.unreachable(reason) from None


def client_of(endpoint: str, token: str, namespace: str) -> Any:
    """A `kfp.Client` that keeps its context in memory: `~/.config/kfp` is not read or written.

    That is the one private name of KFP that is used here, as of 2.17. Proxy and certificates are
    those of the rest of Python, by which the server is read.
    """
    from kfp.client import Client

    class MemoryClient(Client):  # type: ignore[misc]  # kfp has no types
        def _load_context_setting_or_default(self) -> None:
            self._context_setting = {"namespace": namespace}

        def set_user_namespace(self, namespace: str) -> None:
            self._context_setting["namespace"] = namespace

    parts = urlsplit(endpoint)
    proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
    authorities = ssl.get_default_verify_paths().cafile
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return MemoryClient(
            host=endpoint, existing_token=token or None, proxy=proxy, ssl_ca_cert=authorities
        )


def _check_asked(job: JobRequest) -> None:
    """See that a server can do what is asked, before anything is sent."""
    asked = {
        "failure_policy='fast'": job.failure_policy == "fast",
        "cache_max_age": job.cache_max_age is not None,
        "input_artifacts": bool(job.artifacts),
        "labels": bool(job.labels),
    }
    for what, wanted in asked.items():
        if wanted:
            raise UnsupportedError(
                f"a KFP server knows no {what} of a run",
                hint=f"leave {what} out, or run it here: runner='embedded'",
            )
    if job.root and "://" not in job.root:
        raise ArgumentError(
            f"pipeline_root {job.root!r} is a folder of this machine, which a server cannot reach",
            hint="give an address such as s3://bucket/folder, or none for the server's own",
        )


def _check_parameters(pipeline: PipelineRecord, given: Mapping[str, Any]) -> None:
    known = pipeline.spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, value in given.items():
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise ArgumentError(
                f"pipeline {pipeline.name!r} has no parameter {name!r}", hint=f"it has: {there}"
            )
        _check_value(name, value)
    for name, definition in known.items():
        optional = definition.get("isOptional") or "defaultValue" in definition
        if name not in given and not optional:
            raise ArgumentError(
                f"pipeline {pipeline.name!r} needs the parameter {name!r}",
                hint=f"parameter_values={{{name!r}: ...}}",
            )


def _check_value(name: str, value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"parameter {name!r} is no JSON: {error}",
            hint="give numbers, text, booleans, and lists and dicts of them",
        ) from None
    if any(abs(number) > _EXACT for number in _integers(value)):
        raise ArgumentError(
            f"parameter {name!r} holds an integer beyond 2**53, which a KFP server would round",
            hint="give it as text",
        )


def _integers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _integers(item)


def _file(spec: Mapping[str, Any], caching: bool | None) -> dict[str, Any]:
    """The compiled file in the form that the API takes.

    Args:
        spec: the file; its part for single platforms stands beside the rest.
        caching: what every task is set to, nested ones too; None changes nothing.
    """
    whole = {key: value for key, value in spec.items() if key != "platforms"}
    if caching is not None:
        whole = json.loads(json.dumps(whole))
        graphs = [whole["root"], *whole.get("components", {}).values()]
        for task in (t for graph in graphs for t in graph.get("dag", {}).get("tasks", {}).values()):
            task.setdefault("cachingOptions", {})["enableCache"] = caching
    if "platforms" not in spec:
        return whole
    return {"pipeline_spec": whole, "platform_spec": {"platforms": spec["platforms"]}}


def _said(body: Any, token: str) -> str:
    """What a server says of a refusal, without what was secret in the request."""
    try:
        message = str(json.loads(body)["message"])
    except (TypeError, ValueError, KeyError):
        return ""
    return clean(message.replace(token, "***") if token else message)[:_LONGEST]
