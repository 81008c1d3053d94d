"""Targets, post-processing and evaluation of DBNet beside the usual ways, on one pinned core.

    python benchmarks/dbnet.py [--rounds 21]

The usual ways are written out in the modules beside this one. Times are CPU time of the one thread
that works, medians of rounds in which the ways take turns. The process keeps freed memory, as those
of the recipes do on a CPU; both ways gain by it.
"""

# ruff: noqa: E402
from __future__ import annotations

import os
import sys
from pathlib import Path

# This folder comes first on the path of a script, and would hide the standard library's `logging`.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import click
import cv2

from benchmarks import dbnet_evaluation
from benchmarks import dbnet_postprocess
from benchmarks import dbnet_targets
from toolkit_recipes.loop import keep_freed_memory


@click.command()
@click.option("--rounds", default=21, help="Rounds that are measured.")
@click.pass_context
def main(context: click.Context, rounds: int) -> None:
    """Compare, and print."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    keep_freed_memory()
    for title, part in (
        ("Targets", dbnet_targets.main),
        ("Post-processing", dbnet_postprocess.main),
        ("Evaluation", dbnet_evaluation.main),
    ):
        print(f"\n{title}")
        context.invoke(part, rounds=rounds)


if __name__ == "__main__":
    main()
