"""What every recipe needs around its work: accelerator, seeds, environment, errors, gathering."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from attrs import AttrsInstance
from rich.console import Console
from torch import Tensor

from toolkit.environment import source
from toolkit.errors import UsageError
from toolkit_recipes.config import help_text
from toolkit_recipes.config import load
from toolkit_recipes.config import wants_help
from toolkit_recipes.console import Reporter

C = TypeVar("C", bound=AttrsInstance)

USAGE_EXIT_CODE = 2
SECONDS_FOR_MAIN_PROCESS = 20.0
"""How long another process gives the main one to report the same error first."""
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h
_NEVER_HAND_BACK = ((_TRIM_THRESHOLD, -1), (_MMAP_MAX, 0))


def run_recipe(
    recipe: Callable[[C], None], kind: type[C], presets: Mapping[str, Callable[[], C]]
) -> None:
    """Read the command line and run a recipe with the configuration that it asks for.

    A usage error is printed once and ends the program with code 2. All processes meet the same
    errors in what the user gave; the main one prints, and the launcher then ends the others. They
    wait for that, because the first process to leave takes the others along.

    Args:
        recipe: does the work.
        kind: its configuration class.
        presets: name to function that returns a configuration.
    """
    try:
        if not wants_help(sys.argv[1:]):
            recipe(load(kind, sys.argv[1:], presets))
        elif is_main_process():
            Console(soft_wrap=True).print(help_text(kind(), presets), markup=False, highlight=False)
    except UsageError as error:
        if not is_main_process():
            time.sleep(SECONDS_FOR_MAIN_PROCESS)
        console = Console(stderr=True, soft_wrap=True)
        console.print(f"error: {error}", markup=False, highlight=False)
        sys.exit(USAGE_EXIT_CODE)


def is_main_process() -> bool:
    """Whether this is the process that speaks, also before the processes know each other."""
    return os.environ.get("RANK", "0") == "0"


def start_accelerator(mixed_precision: str, seed: int, threads: int = 0) -> Accelerator:
    """Set up the processes and the number format, and seed all random numbers.

    Args:
        mixed_precision: ``no``, ``bf16``, ``fp16``, or ``auto`` for what `accelerate launch` was
            asked for, else bf16 where the hardware computes in it and full precision elsewhere.
        seed: the same on every process.
        threads: of each process on the CPU; 0: see :func:`threads_wanted`.

    Raises:
        UsageError: fp16 without a GPU.
    """
    if mixed_precision == "auto":
        mixed_precision = _launched_precision() or ("bf16" if computes_in_bf16() else "no")
    if mixed_precision == "fp16" and not torch.cuda.is_available():
        raise UsageError("mixed_precision=fp16 needs a GPU; use auto, bf16 or no")
    accelerator = Accelerator(mixed_precision=mixed_precision)
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    wanted = threads or threads_wanted(os.environ, usable_cores())
    if wanted:
        torch.set_num_threads(wanted)
    set_seed(seed)
    return accelerator


def _launched_precision() -> str | None:
    """The half precision that the launcher was told to use; its default is none."""
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    return asked if asked in {"bf16", "fp16"} else None


def refuse_several_processes(accelerator: Accelerator) -> None:
    """Refuse to share work that isn't made to be shared.

    Raises:
        UsageError: there is more than one process.
    """
    if accelerator.num_processes > 1:
        raise UsageError("this runs in one process; start it with `python`, or --num_processes 1")


def keep_freed_memory() -> bool:
    """Have the C library keep the memory that one step frees for the next one.

    glibc hands large blocks back to the system and asks for new ones at every step, whose pages
    are then cleared again; without that, DBNet takes 14 % more steps a second on two cores. The
    process keeps the memory of its largest step.

    Returns:
        Whether there is a glibc to be told.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    return all(mallopt(setting, value) for setting, value in _NEVER_HAND_BACK)


def threads_wanted(environment: Mapping[str, str], cores: int) -> int:
    """Return the threads of a process on the CPU; 0 leaves them as they are.

    Unless it is told otherwise, ``accelerate launch`` holds each process to one thread, so that
    most of a machine would stand idle. Its processes then share the cores.

    Args:
        environment: of the process.
        cores: that the process may use.
    """
    launched = "ACCELERATE_DYNAMO_BACKEND" in environment
    if not launched or environment.get("OMP_NUM_THREADS") != "1":
        return 0
    return max(1, cores // int(environment.get("LOCAL_WORLD_SIZE", "1")))


def usable_cores() -> int:
    """Return the cores that this process may use, as far as the system tells."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@contextmanager
def main_process_first(accelerator: Accelerator) -> Iterator[None]:
    """Let the main process of each machine through first, such as to download what all need.

    An error of the main process lets the others through as well, to meet it themselves.
    """
    if not accelerator.is_local_main_process:
        accelerator.wait_for_everyone()
    try:
        yield
    finally:
        if accelerator.is_local_main_process:
            accelerator.wait_for_everyone()


def computes_in_bf16() -> bool:
    """Whether the GPU, or without one the CPU, has bf16 instructions, so that bf16 is faster."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def start_reporter(accelerator: Accelerator) -> Reporter:
    """Return what prints for this process: only the main one says anything."""
    return Reporter(Console(quiet=not accelerator.is_main_process))


def environment(accelerator: Accelerator, seed: int) -> dict[str, str | float]:
    """Return what besides the configuration shapes a result, as params of the run.

    ``git_commit`` is that of the repository around the script.
    """
    return {
        "seed": seed,
        "git_commit": source(Path(sys.argv[0]).resolve().parent).commit or "unknown",
        "pytorch_version": torch.__version__,
        "cuda_version": torch.version.cuda or "none",
        "device": accelerator.device.type,
        "num_processes": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
    }


def gather_rows(accelerator: Accelerator, positions: Tensor, rows: Tensor, total: int) -> Tensor:
    """Put together the rows that the processes computed, in one order on every process.

    Args:
        accelerator: knows the processes.
        positions: [n] place of each row in the result; a row computed on several processes
            counts once.
        rows: [n, width] of this process; n may differ between processes.
        total: number of rows of the result; each place must be computed somewhere.

    Returns:
        [total, width].
    """
    padded = accelerator.pad_across_processes(positions + 1)  # 0 marks a padded row
    places = accelerator.gather(padded)
    gathered = accelerator.gather(accelerator.pad_across_processes(rows))
    real = places > 0
    result = rows.new_full((total, rows.shape[1]), torch.nan)
    result[places[real] - 1] = gathered[real]
    return result
