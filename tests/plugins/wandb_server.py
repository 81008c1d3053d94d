"""A server on this machine that speaks as much of W&B's API as a run of wandb needs, or refuses it.

It keeps what each run says: rows of the history and lines of the console by their numbers, what was
last said of the run, uploaded files, artifacts and the exit code.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import threading
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from typing import Any
from typing import Literal
from typing import cast

from attrs import define
from attrs import field

Answer = Literal["401", "403", "404", "500", "hang", "cut"]
"""Instead of the truth: a status, no answer at all, or half of one."""

ENTITY = "ann"
_LONGEST_HANG = 120.0
_OPERATION = re.compile(r"^\s*(?:query|mutation)\s+(\w+)", re.MULTILINE)
_MESSAGES = {
    401: "user is not logged in",
    403: "permission denied",
    404: "project not found",
    500: "internal server error",
}


@define
class Bucket:
    """One run, as the server has it."""

    name: str
    project: str
    said: dict[str, Any] = field(factory=dict)
    """Variables of the mutations that made and changed it; later ones win."""
    rows: dict[int, dict[str, Any]] = field(factory=dict)
    """History by the line's number."""
    console: dict[int, str] = field(factory=dict)
    """Lines of the console by their numbers, as sent: time, then text."""
    summary: dict[str, Any] = field(factory=dict)
    exit_code: int | None = None
    repeated: int = 0
    """Lines of the history or console that came a second time."""

    @property
    def config(self) -> dict[str, Any]:
        """The configuration without wandb's own part."""
        known = json.loads(self.said.get("config") or "{}")
        return {key: entry["value"] for key, entry in known.items() if key != "_wandb"}

    def history(self) -> list[dict[str, Any]]:
        """The rows in order; none is missing between the first and the last."""
        assert list(self.rows) == sorted(self.rows) == list(range(len(self.rows)))
        return list(self.rows.values())

    def printed(self) -> list[str]:
        """The lines of the console without their times, in order."""
        assert sorted(self.console) == list(range(len(self.console)))
        return [self.console[n].partition(" ")[2] for n in range(len(self.console))]

    def take(self, told: Mapping[str, Any]) -> None:
        """One request of the file stream."""
        for name, part in told.get("files", {}).items():
            lines = dict(enumerate(part["content"], part["offset"]))
            if name == "wandb-history.jsonl":
                self.repeated += len(lines.keys() & self.rows.keys())
                self.rows.update({number: json.loads(line) for number, line in lines.items()})
            elif name == "output.log":
                self.repeated += len(lines.keys() & self.console.keys())
                self.console.update(lines)
            elif name == "wandb-summary.json":
                self.summary.update(json.loads(part["content"][-1]))
        if told.get("complete"):
            self.exit_code = told["exitcode"]

    @property
    def state(self) -> str:
        """In W&B's words."""
        if self.exit_code is None:
            return "running"
        return "finished" if self.exit_code == 0 else "failed"


class Server:
    """What the server knows, and how it answers."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.seen: list[str] = []
        """Names of all operations so far, and paths of other requests."""
        self.uploads: dict[str, bytes] = {}
        """Contents by path: ``/upload/``, the run's or artifact's id, and the name."""
        self.artifacts: list[dict[str, Any]] = []
        """What each artifact was said to be; the id of the first is ``artifact-0``."""
        self.address = ""
        self._refusal: tuple[Answer, re.Pattern[str]] | None = None
        self._freed = threading.Event()
        self.lock = threading.Lock()

    def refuse(self, answer: Answer, what: str = "") -> None:
        """From now on, answer like this where the expression finds something in the request's name.

        The name is that of a GraphQL operation, or the path.
        """
        self._refusal = (answer, re.compile(what))

    def accept(self) -> None:
        """Answer truly from now on; whoever hangs is let go."""
        self._refusal = None
        self._freed.set()
        self._freed = threading.Event()

    def refusal(self, name: str) -> Answer | None:
        """How to answer this request, if not truly."""
        if self._refusal and self._refusal[1].search(name):
            return self._refusal[0]
        return None

    def hang(self) -> None:
        """Say nothing until the server accepts again."""
        self._freed.wait(_LONGEST_HANG)

    def place(self, owner: str, name: str) -> str:
        """Where to upload a file of a run or an artifact."""
        return f"{self.address}/upload/{owner}/{name}"

    def bucket(self, name: str, project: str = "") -> Bucket:
        """The run of this id, made if need be."""
        return self.buckets.setdefault(name, Bucket(name, project))

    def only(self) -> Bucket:
        """The one run that there is."""
        (bucket,) = self.buckets.values()
        return bucket


@contextmanager
def serving() -> Iterator[Server]:
    """A server that runs in threads of this process."""
    server = Server()
    handler = type("Handler", (_Handler,), {"knows": server})
    with ThreadingHTTPServer(("127.0.0.1", 0), cast("Any", handler)) as http:
        http.daemon_threads = True
        server.address = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.accept()
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Takes one request; kept alive as wandb likes it."""

    protocol_version = "HTTP/1.1"
    knows: Server

    def handle(self) -> None:
        """Take requests until the other side has had enough, or is killed."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's own name
        """Print nothing."""

    def do_GET(self) -> None:
        """Files are not given back."""
        self._answer(404, {})

    def do_POST(self) -> None:
        """GraphQL, and the file stream."""
        body = self._body()
        if self.path.endswith("/graphql"):
            asked = json.loads(body)
            match = _OPERATION.search(asked["query"])
            name = asked.get("operationName") or (match[1] if match else "")
            given = asked.get("variables") or {}
            self._truly_or_not(name, lambda: _graphql(self.knows, name, given))
        elif self.path.endswith("/file_stream"):
            self._truly_or_not(self.path, lambda: self._stream(json.loads(body)))
        else:  # what wandb reports about itself
            self._answer(404, {})

    def do_PUT(self) -> None:
        """An upload to an address that an earlier answer gave."""
        body = self._body()
        self._truly_or_not(self.path, lambda: self._upload(body))

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _stream(self, told: Mapping[str, Any]) -> dict[str, Any]:
        *_, run, _ = self.path.split("/")
        self.knows.bucket(run).take(told)
        return {"exitcode": None, "limits": {}}

    def _upload(self, body: bytes) -> dict[str, Any]:
        self.knows.uploads[self.path] = body
        return {}

    def _truly_or_not(self, name: str, truth: Callable[[], dict[str, Any]]) -> None:
        self.knows.seen.append(name)
        refusal = self.knows.refusal(name)
        if refusal == "hang":
            self.knows.hang()
            self.close_connection = True
        elif refusal == "cut":
            self._answer(200, {"data": {}}, shown=5)
            self.close_connection = True
        elif refusal:
            status = int(refusal)
            self._answer(status, {"errors": [{"message": _MESSAGES[status]}]})
        else:
            with self.knows.lock:
                answer = truth()
            self._answer(200, answer)

    def _answer(self, status: int, content: Mapping[str, Any], shown: int | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:shown])


def _graphql(server: Server, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    answers: dict[str, Callable[[Server, Mapping[str, Any]], dict[str, Any]]] = {
        "Viewer": _viewer,
        "GetDefaultEntity": _viewer,
        "ServerFeaturesQuery": _features,
        "UpsertBucket": _upsert,
        "RunResumeStatus": _resume_status,
        "RunStoppedStatus": lambda *_: {"project": {"run": {"stopped": False}}},
        "Run": _run,
        "RunConsoleLogTail": _console_tail,
        "ArtifactType": lambda *_: {"project": None},
        "CreateRunFiles": _run_files,
        "CreateArtifact": _artifact,
        "CreateArtifactManifest": _manifest,
        "UpdateArtifactManifest": _manifest,
        "CreateArtifactFiles": _artifact_files,
        "CommitArtifact": lambda _, g: {
            "commitArtifact": {"artifact": {"id": g["artifactID"], "digest": "d"}}
        },
    }
    return {"data": answers[name](server, given) if name in answers else {}}


def _viewer(server: Server, given: Mapping[str, Any]) -> dict[str, Any]:
    del server, given
    teams: dict[str, Any] = {"edges": [{"node": {"name": ENTITY}}]}
    return {
        "viewer": {
            "id": "u1",
            "entity": ENTITY,
            "username": ENTITY,
            "name": ENTITY,
            "email": "ann@example.org",
            "admin": False,
            "flags": "{}",
            "teams": teams,
        }
    }


def _features(server: Server, given: Mapping[str, Any]) -> dict[str, Any]:
    del server, given
    return {"serverInfo": {"features": []}}


def _project(name: str) -> dict[str, Any]:
    return {"id": "p1", "name": name, "entity": {"id": "e1", "name": ENTITY}}


def _upsert(server: Server, given: Mapping[str, Any]) -> dict[str, Any]:
    known = given["name"] in server.buckets
    bucket = server.bucket(given["name"], given.get("project") or "uncategorized")
    bucket.said.update({key: value for key, value in given.items() if value is not None})
    bucket.exit_code = None
    shown = {
        "id": f"id-{bucket.name}",
        "name": bucket.name,
        "displayName": bucket.said.get("displayName"),
        "description": None,
        "config": bucket.said.get("config"),
        "sweepName": None,
        "project": _project(bucket.project),
        "historyLineCount": len(bucket.rows),
    }
    return {"upsertBucket": {"bucket": shown, "inserted": not known}}


def _resume_status(server: Server, given: Mapping[str, Any]) -> dict[str, Any]:
    bucket = server.buckets.get(given["name"])
    if bucket is None:
        return {"model": {**_project(given["project"]), "bucket": None}}
    tail = [json.dumps(bucket.rows[max(bucket.rows)])] if bucket.rows else []
    shown: dict[str, Any] = {
        "id": f"id-{bucket.name}",
        "name": bucket.name,
        "summaryMetrics": json.dumps(bucket.summary),
        "displayName": bucket.said.get("displayName"),
        "logLineCount": len(bucket.console),
        "historyLineCount": len(bucket.rows),
        "eventsLineCount": 0,
        "historyTail": json.dumps(tail),
        "eventsTail": "[]",
        "config": bucket.said.get("config"),
        "tags": bucket.said.get("tags") or [],
        "notes": bucket.said.get("notes"),
        "wandbConfig": '{"t": 1}',
    }
    return {"model": {**_project(bucket.project), "bucket": shown}}


def _run(server: Server, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the public API reads of a run."""
    bucket = server.buckets.get(given["name"])
    if bucket is None:
        return {"project": {"internalId": "1", "run": None}}
    shown: dict[str, Any] = {
        "id": f"id-{bucket.name}",
        "name": bucket.name,
        "projectId": "1",
        "state": bucket.state,
        "config": bucket.said.get("config") or "{}",
        "summaryMetrics": json.dumps(bucket.summary),
        "systemMetrics": "{}",
        "historyLineCount": len(bucket.rows),
        "historyKeys": None,
        "user": {"name": ENTITY, "username": ENTITY},
        "createdAt": "2026-01-01T00:00:00",
        "heartbeatAt": "2026-01-01T00:00:00",
        **dict.fromkeys(("sweepName", "group", "jobType", "commit", "description", "notes")),
        "displayName": bucket.said.get("displayName"),
        "readOnly": False,
        "tags": [],
    }
    return {"project": {"internalId": "1", "run": shown}}


def _console_tail(server: Server, given: Mapping[str, Any]) -> dict[str, Any]:
    console = server.buckets[given["runName"]].console
    lines = [
        {
            "node": {
                "number": n,
                "timestamp": None,
                "level": "",
                "label": "",
                "line": console[n].partition(" ")[2],
            }
        }
        for n in sorted(console)[-given["last"] :]
    ]
    return {"project": {"run": {"logLineCount": len(console), "logLines": {"edges": lines}}}}


def _run_files(server: Server, given: Mapping[str, Any]) -> dict[str, Any]:
    files = [
        {"name": name, "uploadUrl": server.place(given["run"], name)} for name in given["files"]
    ]
    made = {"runID": f"id-{given['run']}", "uploadHeaders": [], "files": files}
    return {"createRunFiles": made}


def _artifact(server: Server, given: Mapping[str, Any]) -> dict[str, Any]:
    asked = given["input"]
    number = len(server.artifacts)
    server.artifacts.append(asked)
    made = {"id": f"artifact-{number}", "state": "PENDING"}
    return {"createArtifact": {"artifact": {**made, "artifactSequence": {"latestArtifact": None}}}}


def _manifest(server: Server, given: Mapping[str, Any]) -> dict[str, Any]:
    owner = given.get("artifactID") or given["artifactManifestID"]
    file = {"id": "f", "uploadUrl": server.place(owner, "manifest.json"), "uploadHeaders": []}
    kind = "createArtifactManifest" if "artifactID" in given else "updateArtifactManifest"
    return {kind: {"artifactManifest": {"id": owner, "file": file}}}


def _artifact_files(server: Server, given: Mapping[str, Any]) -> dict[str, Any]:
    edges = [
        {
            "node": {
                "storagePath": spec["name"],
                "uploadUrl": server.place(spec["artifactID"], spec["name"]),
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": spec["artifactID"]},
            }
        }
        for spec in given["input"]["artifactFiles"]
    ]
    return {"createArtifactFiles": {"files": {"edges": edges}}}
