"""Packages that a component needs and its worker lacks, installed by uv for its task alone.

Not by Ray's `runtime_env`: where Ray runs in a virtual environment it copies that whole for every
set of packages (36 s and 1.7 GB here, against 0.2 s), and it asks before it knows the worker.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from unified_mlops.pipelines.component import Component, missing

FOLDER = ".packages"


def install(component: Component, folder: Path) -> str:
    """Install what is missing into the task's folder, and let this process find it first.

    Args:
        component: what is to run.
        folder: the task's folder.

    Returns:
        Why it cannot be installed; empty where it can.
    """
    if not missing(component.requirements):
        return ""
    from uv import find_uv_bin

    target = folder / FOLDER
    target.mkdir()
    pins = target / "constraints.txt"
    pins.write_text(f"kfp=={version('kfp')}\n")  # what needs KFP gets the worker's
    command = [find_uv_bin(), "pip", "install", "--quiet", "--color=never", "--python"]
    command += [sys.executable, "--target", str(target), "--constraint", str(pins)]
    command += [*component.options, "--", *component.requirements]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(done.stdout, end="", flush=True)
    if done.returncode:
        return f"its packages cannot be installed: {' '.join(done.stdout.split())}"
    sys.path.insert(0, str(target))
    importlib.invalidate_caches()
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(target), before]))
    return ""
