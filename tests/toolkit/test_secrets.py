"""A secret that gets near a run is in none of its files, whichever way it came."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.commands import Bench
from tests.toolkit.conftest import Installer

SECRET = "w4-very-secret-value-4711"

WAYS = {
    "environment, printed": "import os; print('key is', os.environ['SOME_API_KEY'])",
    "environment, in a param": (
        "import os, toolkit\nwith toolkit.start_run() as run:\n"
        " run.log_params({'a': {'b': ['x ' + os.environ['SOME_API_KEY']]}})"
    ),
    "key of a param": (
        "import toolkit\nwith toolkit.start_run() as run:\n"
        " run.log_params({'model': {'api_key': '%s'}, 'num_memory_tokens': 4711})"
    ),
    "tag": "import toolkit\nwith toolkit.start_run() as run: run.set_tag('password', '%s')",
    "summary": (
        "import toolkit\nwith toolkit.start_run() as run: run.log_summary({'hf_token': '%s'})"
    ),
    "text": (
        "import toolkit\nwith toolkit.start_run() as run:\n"
        " run.log_text('https://user:%s@host/x', 'a.txt')"
    ),
    "mapping": (
        "import toolkit\nwith toolkit.start_run() as run:\n"
        " run.log_dict({'client_secret': '%s'}, 'a.yaml')"
    ),
    "options": (
        "import toolkit\n"
        "asked = {'file': {'folder': 'tracked', 'note': 'http://u:%s@h'}}\n"
        "with toolkit.start_run(backend=asked, notes='token=%s'): pass"
    ),
    "description": (
        "import toolkit\n"
        "said = dict(project='p-%s', name='n-%s', group='%s', tags=['%s', 'http://u:%s@h'])\n"
        "with toolkit.start_run(**said): pass"
    ),
    "stderr": "import sys; sys.stderr.write('Authorization: Bearer %s\\n')",
}


@pytest.mark.parametrize("way", WAYS)
def test_secret_is_nowhere(bench: Bench, install: Installer, way: str) -> None:
    """Params, tags, summary, texts, options and console: masked before they are written."""
    env = {"SOME_API_KEY": SECRET, "PYTHONPATH": install("file_plugin")}
    code = WAYS[way].replace("%s", SECRET)
    bench.track(code, "--backend", "file", env=env)

    _assert_nowhere(bench.runs)
    _assert_nowhere(bench.folder / "tracked")


def test_options_of_the_command_line(bench: Bench, install: Installer) -> None:
    """A secret option reaches the courier and no file, nor does one among the command's words."""
    env = {"PYTHONPATH": install("file_plugin")}
    option = f"file.note=http://user:{SECRET}@host"
    done = bench.toolkit(
        "track",
        *("--backend", "file", "-o", option, "--"),
        *(sys.executable, "-c", "pass", "--password", SECRET),
        env=env,
    )

    assert done.returncode == 0, done.stderr
    (told,) = (bench.folder / "tracked").glob("*.json")
    assert SECRET in told.read_text()
    _assert_nowhere(bench.runs)


def test_description_on_the_command_line(bench: Bench) -> None:
    """Project, name, group and tags are masked in what the run is, and when it is resumed."""
    said = [word for what in ("name", "group", "tag") for word in (f"--{what}", f"x-{SECRET}")]
    env = {"SOME_API_KEY": SECRET}
    bench.toolkit("track", "--project", f"p-{SECRET}", "--", "true", env=env)
    again = ("--resume", bench.only_run().path.name)
    done = bench.toolkit("track", *again, *said, "--", "true", env=env)

    assert done.returncode == 0, done.stderr
    shown = bench.shown(bench.only_run())
    assert (shown["project"], shown["name"], shown["tags"]) == ("p-***", "x-***", ["x-***"])
    _assert_nowhere(bench.runs)


def test_what_is_no_secret_stays(bench: Bench) -> None:
    """Names that merely sound like credentials keep their values."""
    code = (
        "import toolkit\nwith toolkit.start_run() as run:\n"
        " run.log_params({'num_memory_tokens': 8, 'tokenizer': 'bert', 'pad_token': '<pad>'})"
    )
    bench.track(code)

    params = {"num_memory_tokens": 8, "tokenizer": "bert", "pad_token": "<pad>"}
    assert bench.shown(bench.only_run())["params"] == params


def _assert_nowhere(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
