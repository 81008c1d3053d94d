"""TaxoClass: entailment beside the usual way, its cost on a GPU, and the corpora's full size.

    python benchmarks/taxoclass.py [--data FOLDER]

``--data`` is a data folder of the recipe, such as Amazon-531; without it a corpus is generated. The
modules beside this one say what is measured and how, and have options of their own.
"""

# ruff: noqa: E402
from __future__ import annotations

import sys
from pathlib import Path

# This folder comes first on the path of a script, and would hide the standard library's `logging`.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import click

from benchmarks import taxoclass_cost
from benchmarks import taxoclass_entailment
from benchmarks import taxoclass_scale


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.pass_context
def main(context: click.Context, data: Path | None) -> None:
    """Compare, and print."""
    print("\nEntailment")
    context.invoke(taxoclass_entailment.main, data=data)
    print("\nCost on one GPU")
    context.invoke(taxoclass_cost.main, data=data)
    print("\nFull size")
    context.invoke(taxoclass_scale.main)


if __name__ == "__main__":
    main()
