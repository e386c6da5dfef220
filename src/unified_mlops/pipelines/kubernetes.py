"""What a compiled pipeline says for Kubernetes, as far as it means something on any machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unified_mlops.pipelines.spec import Secret, unsupported


@dataclass(frozen=True, slots=True)
class Settings:
    """What of it is honoured.

    Args:
        workspace: whether the tasks share a folder.
        secrets: the secrets in the environment of each executor, by its label.
    """

    workspace: bool = False
    secrets: Mapping[str, tuple[Secret, ...]] = field(default_factory=dict)


def read(platforms: Mapping[str, Any]) -> Settings:
    """The settings of the compiled file's `platforms`.

    Raises:
        UnsupportedError: one that only Kubernetes can honour; names it.
    """
    for name in platforms:
        if name != "kubernetes":
            raise unsupported(f"settings for the platform {name!r}")
    kubernetes = platforms.get("kubernetes", {})
    for name in kubernetes.get("pipelineConfig", {}):
        if name != "workspace":
            raise unsupported(f"the pipeline's setting {name!r} for Kubernetes")
    executors = kubernetes.get("deploymentSpec", {}).get("executors", {})
    secrets = {label: tuple(_secrets(label, raw)) for label, raw in executors.items()}
    return Settings("workspace" in kubernetes.get("pipelineConfig", {}), secrets)


def _secrets(label: str, raw: Mapping[str, Any]) -> list[Secret]:
    for name in raw:
        if name != "secretAsEnv":
            raise unsupported(f"the setting {name!r} for Kubernetes of {label!r}")
    return [
        Secret(pair["envVar"], _name(secret), pair["secretKey"])
        for secret in raw.get("secretAsEnv", ())
        for pair in secret["keyToEnv"]
    ]


def _name(secret: Mapping[str, Any]) -> str:
    """A secret's name; newer compilers write it as a task's input."""
    named = secret.get("secretNameParameter", {}).get("runtimeValue", {}).get("constant")
    return str(named or secret["secretName"])
