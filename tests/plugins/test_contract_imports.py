"""The modules of contracts can be imported without the backends that they are about."""

from __future__ import annotations

import subprocess
import sys


def test_importing_contracts_imports_no_backend() -> None:
    """Looking up a contract must cost no more than looking up its tracker."""
    code = (
        "import sys, toolkit_mlflow.contract, toolkit_none.contract, toolkit_wandb.contract; "
        "print({'mlflow', 'numpy', 'pytest', 'torch', 'wandb'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
