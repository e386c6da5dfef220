"""What a pipeline job is given, checked and completed."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal
from uuid import uuid4

from unified_mlops.errors import ArgumentError
from unified_mlops.pipelines.journal import home
from unified_mlops.pipelines.plan import EMBEDDED
from unified_mlops.session import Session

SERVER = "kfp"
"""The runner that hands whole pipelines to a KFP server."""
_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")


def runner_of(given: str | None, session: Session) -> str:
    """Where a job runs: where it says, where the config says, or here."""
    configured = session.config.pipelines.get("runner")
    provider = session.config.providers.get("task", EMBEDDED)
    return given or configured or ("embedded" if provider == EMBEDDED else provider)


def provider_of(runner: str) -> str:
    """The plugin that serves a runner: that of KFP runs tasks here, and knows the server."""
    return EMBEDDED if runner in ("embedded", SERVER) else runner


def folder_of(root: str | Path | None, session: Session) -> Path:
    """Where the jobs of a pipeline root left what they tell."""
    return home(str(root or ""), session.config.workspace)[0]


def id_of(given: str | None, pipeline: str) -> str:
    """The id that was given, checked, or one made from the pipeline's name and the time."""
    stamp = datetime.now(timezone.utc).strftime("%Y%m%d%H%M%S")
    name = re.sub(r"[^a-z0-9]+", "-", pipeline.lower()).strip("-0123456789")[:90] or "job"
    job_id = given or f"{name}-{stamp}-{uuid4().hex[:4]}"
    if not _ID.fullmatch(job_id):
        raise ArgumentError(
            f"{job_id!r} is no job id",
            hint="use small letters, digits and hyphens, at most 128, a letter first",
        )
    return job_id


def policy_of(given: str) -> Literal["slow", "fast"]:
    """The failure policy, checked."""
    if given not in ("slow", "fast"):
        raise ArgumentError(f"failure_policy is {given!r}", hint="give 'slow' or 'fast'")
    return "slow" if given == "slow" else "fast"
