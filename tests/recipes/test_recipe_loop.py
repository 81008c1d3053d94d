"""Rules of what recipes share around their work."""

from __future__ import annotations

import platform
import random
import subprocess
import sys

import pytest
import torch
from accelerate import Accelerator
from rich.console import Console

from toolkit.errors import UsageError
from toolkit_recipes.console import Reporter
from toolkit_recipes.loop import computes_in_bf16
from toolkit_recipes.loop import environment
from toolkit_recipes.loop import gather_rows
from toolkit_recipes.loop import start_accelerator
from toolkit_recipes.loop import threads_wanted


def test_the_seed_fixes_all_random_numbers() -> None:
    """The same seed gives the same numbers in Python and in torch."""
    drawn = []
    for _ in range(2):
        start_accelerator("no", seed=5)
        drawn.append((random.random(), torch.rand(3).tolist()))
    assert drawn[0] == drawn[1]


def test_a_process_has_the_threads_that_are_asked_for() -> None:
    """The number holds for all of torch."""
    before = torch.get_num_threads()
    try:
        start_accelerator("no", seed=0, threads=before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes in fp16")
def test_fp16_without_a_gpu_is_refused() -> None:
    """The message says what to use instead."""
    with pytest.raises(UsageError, match=r"mixed_precision=fp16 needs a GPU; use auto"):
        start_accelerator("fp16", seed=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks the CPU")
def test_bf16_is_chosen_where_the_cpu_has_instructions_for_it() -> None:
    """The answer is what the operating system says of the processor."""
    with open("/proc/cpuinfo", encoding="ascii") as file:
        flags = set(file.read().split())
    assert computes_in_bf16() == bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"ACCELERATE_DYNAMO_BACKEND": "NO", "OMP_NUM_THREADS": "1"}, 8),
        (
            {"ACCELERATE_DYNAMO_BACKEND": "NO", "OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "3"},
            2,
        ),
        (
            {"ACCELERATE_DYNAMO_BACKEND": "NO", "OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "16"},
            1,
        ),
        ({"ACCELERATE_DYNAMO_BACKEND": "NO", "OMP_NUM_THREADS": "4"}, 0),
        ({"OMP_NUM_THREADS": "1"}, 0),
    ],
)
def test_launched_processes_share_the_cores(environment: dict[str, str], threads: int) -> None:
    """The launcher's one thread a process is widened; what somebody asked for is left alone."""
    assert threads_wanted(environment, cores=8) == threads


@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 works on this machine")
def test_what_the_launcher_was_told_is_not_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """`accelerate launch --mixed_precision fp16` decides where the recipe's own key doesn't."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        start_accelerator("auto", seed=1)
    assert start_accelerator("no", seed=1).mixed_precision == "no"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_stays_with_the_process() -> None:
    """So that the next step finds it with its pages mapped."""
    code = (
        "import psutil, torch\n"
        "from toolkit_recipes.loop import keep_freed_memory\n"
        "assert keep_freed_memory()\n"
        "held = torch.ones(50_000_000)\n"
        "before = psutil.Process().memory_info().rss\n"
        "del held\n"
        "print(psutil.Process().memory_info().rss / before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(done.stdout) > 0.99


def test_environment_names_versions_and_processes() -> None:
    """What shapes a result besides the configuration, as it will be logged."""
    found = environment(Accelerator(), seed=3)
    assert found["seed"] == 3
    assert found["pytorch_version"] == torch.__version__
    assert found["num_processes"] == 1
    assert {"git_commit", "cuda_version", "device", "mixed_precision"} < set(found)


def test_rows_are_gathered_by_position() -> None:
    """Rows come back in their places; one that was computed twice counts once."""
    positions = torch.tensor([2, 0, 1, 2])
    rows = torch.tensor([[2.0], [0.0], [1.0], [2.0]])
    gathered = gather_rows(Accelerator(), positions, rows, total=3)
    assert gathered.tolist() == [[0.0], [1.0], [2.0]]


def test_a_table_shows_fractions_with_four_decimals() -> None:
    """Counts stay whole, and square brackets in a name are not taken for a style."""
    console = Console(record=True, width=60, quiet=False, file=None)
    with console.capture() as capture:
        Reporter(console).table("Results", {"f1[a]": 0.123456, "count": 12, "device": "cpu"})
    shown = capture.get()
    assert "0.1235" in shown
    assert "f1[a]" in shown
    assert " 12 " in shown


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_passes_every_item_on(*, is_terminal: bool) -> None:
    """Bars on a terminal and lines elsewhere leave the items as they are."""
    console = Console(force_terminal=is_terminal, width=60)
    with console.capture():
        assert list(Reporter(console).track(range(5), "work")) == [0, 1, 2, 3, 4]
