"""The model registry as people expect it, on MLflow's client."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unified_mlops.errors import ArgumentError
from unified_mlops.records import ModelRecord, ModelVersionRecord
from unified_mlops_mlflow import models
from unified_mlops_mlflow.convert import not_found, version_record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

    from unified_mlops_mlflow.store import Store

_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)
_ALIAS = re.compile(r"[\w-]{1,255}")


def pages(search: Any, **arguments: Any) -> list[Any]:
    """Everything that one of MLflow's paged searches finds."""
    found: list[Any] = []
    token = None
    while True:
        page = search(page_token=token, **arguments)
        found.extend(page)
        token = page.token
        if not token:
            return found


def family_named(client: MlflowClient, name: str) -> RegisteredModel:
    """The registered model of a name.

    Raises:
        NotFoundError: there is none.
    """
    found: RegisteredModel | None = _family(client, name)
    if found is None:
        known = [family.name for family in pages(client.search_registered_models)]
        raise not_found("registered model", name, known)
    return found


def register(
    store: Store, client: MlflowClient, model: ModelRecord, name: str, labels: Mapping[str, str]
) -> ModelVersion:
    """Make a logged model the next version of a name, which may be new.

    Raises:
        NotFoundError: the logged model is gone; nothing was written.
    """
    logged = client.get_logged_model(model.ref.id)
    if _family(client, name) is None:
        _make_family(client, name)
    with store.as_global():
        return client.create_model_version(
            name,
            f"models:/{logged.model_id}",
            logged.source_run_id,
            dict(labels),
            model_id=logged.model_id,
        )


def version_named(client: MlflowClient, name: str, version: str) -> ModelVersion:
    """A version by its number or alias.

    Raises:
        NotFoundError: no such model, number or alias.
    """
    aliases = family_named(client, name).aliases
    numbers = {str(found.version) for found in versions(client, name)}
    number = str(aliases.get(version, version))
    if number not in numbers:
        raise not_found(f"version of model {name!r} called", version, [*aliases, *sorted(numbers)])
    return client.get_model_version(name, number)


def versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """The versions of a name, oldest first; MLflow's search leaves their aliases out."""
    mark = '"' if "'" in name else "'"
    found = pages(client.search_model_versions, filter_string=f"name={mark}{name}{mark}")
    return sorted(found, key=lambda version: int(version.version))


def update(
    client: MlflowClient, name: str, version: str, aliases: Sequence[str], labels: Mapping[str, str]
) -> None:
    """Point aliases at a version and set its tags.

    Raises:
        ArgumentError: an alias that MLflow does not take; nothing was written.
    """
    for alias in aliases:
        if _RESERVED.fullmatch(alias) or not _ALIAS.fullmatch(alias):
            raise ArgumentError(
                f"alias {alias!r} cannot be used: MLflow reserves `latest` and `v<number>`, and "
                "takes letters, digits, `_` and `-`",
                hint="choose another, such as 'champion'",
            )
    client.get_model_version(name, version)
    for alias in aliases:
        client.set_registered_model_alias(name, alias, version)
    for key, value in labels.items():
        client.set_model_version_tag(name, version, key, value)


def record(store: Store, client: MlflowClient, version: ModelVersion) -> ModelVersionRecord:
    """The record of a version; its aliases are read anew."""
    name, number = version.name, str(version.version)
    found = client.get_model_version(name, number)
    location = client.get_model_version_download_uri(name, number)
    inputs = models.signature_columns(client, location)
    return version_record(found, inputs, store.instance(client))


def _make_family(client: MlflowClient, name: str) -> None:
    """Create a registered model, unless another process has done so in the meantime."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or _family(client, name) is None:
            raise


def _family(client: MlflowClient, name: str) -> RegisteredModel | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
