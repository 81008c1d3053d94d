"""Weights & Biases: runs online, or offline in folders that ``wandb sync`` takes."""
