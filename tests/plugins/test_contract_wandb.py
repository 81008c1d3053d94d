"""The W&B plugin keeps the contract, offline."""

from __future__ import annotations

from toolkit_wandb.contract import WandbContract


class TestWandb(WandbContract):
    """Every rule."""
