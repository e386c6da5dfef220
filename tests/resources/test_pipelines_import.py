# KFP reads the annotations of components as they are: no `from __future__ import annotations`.
import json
import subprocess
import sys
from pathlib import Path

from kfp import compiler, dsl

PROGRAM = """
import json, sys
from pathlib import Path
from unified_mlops import Config, PipelineJob, Session

place, workspace = sys.argv[1:]
session = Session(Config(workspace=Path(workspace)))
job = PipelineJob("x", place, session=session)
job.run()
session.close()
loaded = [m for m in ("kfp", "google", "kubernetes") if m in sys.modules]
print("\\n" + json.dumps([job.state, loaded]))
"""


@dsl.component(base_image="python:3.11")
def double(n: int) -> int:
    return 2 * n


@dsl.pipeline(name="twice")
def twice(n: int = 1) -> int:
    with dsl.ParallelFor([1, 2]) as item:
        double(n=item)
    return double(n=n).output


def test_kfp_is_not_imported_where_a_compiled_file_is_run(tmp_path: Path) -> None:
    compiler.Compiler().compile(twice, str(tmp_path / "twice.yaml"))
    given = [str(tmp_path / "twice.yaml"), str(tmp_path / "workspace")]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *given], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["PIPELINE_STATE_SUCCEEDED", []]
