"""A server on loopback that speaks the REST calls of KFP 2.17, and walks the runs it is given.

A submitted run goes one step further each time it is read: PENDING, then one task after another
RUNNING and ended, then its end. Runs that a test adds stay as they are.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "s3cr3t-t0ken"
NEVER = "1970-01-01T00:00:00Z"
START = "2026-01-01T00:01:00Z"
END = "2026-01-01T00:02:00Z"
ENDED = {"SUCCEEDED", "FAILED", "CANCELED"}


class RefusedError(Exception):
    """An answer with a status that is none of success."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


class Store:
    """What the server has, what it was asked, and how it behaves."""

    def __init__(self):
        self.runs, self.versions, self.experiments = {}, {}, {}
        self.asked, self.bodies = [], []
        self.token, self.status, self.body = "", 200, None
        self.failing = set()  # the names of tasks that fail
        self.stopped = "CANCELED"  # the state of a run that was terminated
        self.only_v1 = False
        self.awake = threading.Event()  # while not set, nothing is said to who changes something
        self.awake.set()
        self._walks = {}

    def add(self, key, spec, created="2026-01-01T00:00:00Z", finished=NEVER, tasks=(), **more):
        self.runs[key] = {
            "run_id": key,
            "display_name": f"run {key}",
            "state": "RUNNING" if finished == NEVER else "SUCCEEDED",
            "created_at": created,
            "finished_at": finished,
            "run_details": {"task_details": list(tasks)},
            **({"pipeline_spec": spec} if spec else {}),
            **more,
        }

    def answer(self, method, path, query, body):
        root, _, rest = path.removeprefix("/base/apis/").partition("/")
        if root != ("v1beta1" if self.only_v1 else "v2beta1"):
            raise RefusedError(404, "Not Found")
        noun, _, key = rest.partition("/")
        key, _, verb = unquote(key).partition(":")
        return getattr(self, f"{method.lower()}_{noun}")(key, verb, query, body)

    def get_healthz(self, *_):
        return {"multi_user": False}

    def get_pipelines(self, key, *_):
        return {"pipeline_spec": self.versions[key.split("/")[2]]}

    # --- experiments ---

    def get_experiments(self, key, verb, query, body):
        if key:
            return self.experiments[key]
        found = list(self._selected(self.experiments.values(), query))
        return {"experiments": found} if found else {}

    def post_experiments(self, key, verb, query, body):
        new = f"e{len(self.experiments)}"
        self.experiments[new] = {**body, "experiment_id": new, "created_at": START}
        return self.experiments[new]

    # --- runs ---

    def get_runs(self, key, verb, query, body):
        if not key:
            return self._listed(query)
        if key not in self.runs:
            raise RefusedError(404, f"Run {key} not found.")
        if key in self._walks:
            self.runs[key].update(next(self._walks[key], {}))
        return self.runs[key]

    def post_runs(self, key, verb, query, body):
        if verb == "terminate":
            return self._terminate(self.runs[key])
        if body["experiment_id"] not in self.experiments:
            raise RefusedError(400, "Invalid input error: no such experiment")
        if not body["pipeline_spec"].get("pipeline_spec", body["pipeline_spec"]).get("root"):
            raise RefusedError(400, "Invalid input error: unknown template format")
        new = f"run-{len(self.runs)}"
        self.add(new, None, state="PENDING", run_details=None, **body)
        self.runs[new].update(run_id=new)
        self._walks[new] = self._walk(body["pipeline_spec"])
        return self.runs[new]

    def delete_runs(self, key, verb, query, body):
        del self.runs[key]
        return {}

    def _terminate(self, run):
        if run["state"] in ENDED:
            raise RefusedError(400, "Invalid input error: Failed to terminate a run. Row not found")
        run["state"] = "CANCELING"
        end = {"state": self.stopped, "finished_at": END}
        self._walks[run["run_id"]] = iter([{}, end])
        return {}

    def _walk(self, file):
        """The states of a run, one after another."""
        spec = file.get("pipeline_spec", file)
        yield {"state": "PENDING"}
        told = [_task("root", "RUNNING"), _task("root-driver", "SUCCEEDED")]
        for name in spec["root"]["dag"]["tasks"]:
            yield _running([*told, _task(name, "RUNNING")])
            if name in self.failing:
                told.append(_task(name, "FAILED"))
                yield {**_running(told), "state": "FAILED", "finished_at": END}
                return
            told.append(_task(name, "SUCCEEDED"))
        yield {**_running(told), "state": "SUCCEEDED", "finished_at": END}

    def _listed(self, query):
        found = sorted(self.runs.values(), key=lambda run: run["created_at"])
        found = list(self._selected(found, query))
        start, size = int(query.get("page_token") or 0), int(query["page_size"])
        more = {"next_page_token": str(start + size)} if len(found) > start + size else {}
        listed = [dict(run, run_details={}) for run in found[start : start + size]]
        return {"runs": listed, **more} if listed else {}

    @staticmethod
    def _selected(found, query):
        if not query.get("filter"):
            return found
        (predicate,) = json.loads(query["filter"])["predicates"]
        key = predicate["key"]
        if predicate["operation"] == "EQUALS":
            return [one for one in found if one.get(key) == predicate["string_value"]]
        assert predicate["operation"] == "GREATER_THAN_EQUALS"
        return [one for one in found if one[key] >= predicate["timestamp_value"]]


def _task(name, state):
    ended = END if state in ENDED else NEVER
    times = {"create_time": START, "start_time": START, "end_time": ended}
    return {"display_name": name, "state": state, "task_id": f"id-of-{name}", **times}


def _running(tasks):
    return {"state": "RUNNING", "run_details": {"task_details": list(tasks)}}


class Handler(BaseHTTPRequestHandler):
    def _handle(self):
        store, parts = self.server.store, urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        store.asked.append(self.path)
        store.bodies.append((self.command, parts.path.partition("/v2beta1")[2], body))
        self.command == "GET" or store.awake.wait(20)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        status, content = store.status, {"message": f"not {self.headers.get('Authorization')}"}
        if self.headers.get("Authorization", "") != store.token:
            status = 401
        if status == 200:
            try:
                content = store.answer(self.command, parts.path, query, body)
            except RefusedError as refused:
                status, content = refused.status, {"code": 3, "message": refused.message}
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"http://{self.headers['Host']}/elsewhere")
        self.end_headers()
        self.wfile.write(store.body or json.dumps(content).encode())

    do_GET = do_POST = do_DELETE = _handle  # noqa: N815 - the names that http.server calls

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    """A server in a thread; `store` holds what it has."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.store = Store()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
