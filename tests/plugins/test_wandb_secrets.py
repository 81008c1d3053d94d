"""A key that gets near a run is in no file of it: journal, wandb's offline run, MLflow's store."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import Bench
from tests.plugins import wandb_reader

IN_ENVIRONMENT = "0a1b2c3d4e" * 4
IN_CONFIG = "config-very-secret-4711"
IN_URL = "url-very-secret-4712"
SECRETS = (IN_ENVIRONMENT, IN_CONFIG, IN_URL)

# The words are given on the command line: the script's own file has no secret in it.
SCRIPT = """
import os, pathlib, sys, toolkit
config, url = sys.argv[1].removeprefix("--api-key="), sys.argv[2]
key = os.environ["WANDB_API_KEY"]
print("logging in with", key, "at", url)
sys.stderr.write(f"Authorization: Bearer {key}\\n")
with toolkit.start_run(notes=f"see {url}", tags=["first"]) as run:
    run.log_params({"wandb": {"api_key": config}, "store": url, "words": ["x " + key]})
    run.log_metrics({"loss": 1.0}, step=0)
    run.set_tags({"endpoint": url, "password": config})
    run.log_summary({"hf_token": config, "where": url})
    run.log_text(f"{url} {key}", "notes.txt")
    run.log_dict({"client_secret": config, "url": url}, "settings.json")
    run.log_table({"where": [url], "key": [key]}, "places")
"""


def _contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file; of wandb's own file also what its blocks cut, of others what is compressed."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        yield path, content
        if path.suffix == ".wandb":
            yield path, b"".join(one.SerializeToString() for one in wandb_reader.records(path))
        for magic in (b"\x1f\x8b\x08", b"\x78\x9c", b"\x78\x01", b"\x78\xda"):
            start = content.find(magic)
            while start >= 0:
                yield path, _inflated(content[start:])
                start = content.find(magic, start + 1)


def _inflated(content: bytes) -> bytes:
    """What zlib or gzip makes of the beginning; nothing, where it is neither."""
    try:
        return zlib.decompressobj(wbits=47).decompress(content, 1 << 20)
    except zlib.error:
        return b""


def test_a_key_is_in_no_file(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    """From the environment, the config or a URL; printed, logged, in git's remote, as an option."""
    pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    url = f"https://ann:{IN_URL}@host.example/path"
    for words in (("init", "--quiet"), ("remote", "add", "origin", url)):
        subprocess.run(["git", *words], cwd=bench.folder, check=True)
    settings = bench.folder / ".git" / "config"  # not among what is searched: it holds the URL
    settings.symlink_to(settings.rename(tmp_path_factory.mktemp("git") / "config"))
    nothing = tmp_path_factory.mktemp("nothing")
    done = bench.toolkit(
        "track",
        *("--backend", "wandb", "-o", "wandb.mode=offline", "-o", f"wandb.base_url={url}"),
        *("--backend", "mlflow", "--", sys.executable, bench.script(SCRIPT)),
        *(f"--api-key={IN_CONFIG}", url),
        env={
            "WANDB_API_KEY": IN_ENVIRONMENT,
            "WANDB_CONFIG_DIR": str(nothing),
            "NETRC": str(nothing / "netrc"),
        },
    )
    assert done.returncode == 0, done.stderr
    assert "not everything is told" not in done.stderr

    masked = set()
    for path, content in _contents(bench.folder):
        if b"***" in content:
            masked.add(path.suffix)
        for secret in SECRETS:
            assert secret.encode() not in content, path
    assert {".jsonl", ".wandb", ".db", ".txt", ".json"} <= masked
