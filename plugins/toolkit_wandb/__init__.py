"""Weights & Biases: runs online, or offline in folders that ``wandb sync`` takes."""

from __future__ import annotations

from toolkit_wandb.tracker import WandbTracker

__all__ = ["WandbTracker"]
