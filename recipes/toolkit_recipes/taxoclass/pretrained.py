"""Loading a pretrained model and its tokenizer from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoTokenizer
from transformers import PretrainedConfig
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase

from toolkit.errors import UsageError

POOLER = "pooler."
"""Layer that encoders have and the classifier doesn't use; many checkpoints come without it."""
UNREADABLE = (OSError, ValueError, KeyError, SafetensorError)
"""What transformers raises for files that aren't those of a model of the kind asked for."""
LARGEST_LENGTH = 1_000_000
"""A tokenizer that says more has no limit of its own."""
RESERVED_POSITIONS = 2
"""Positions that models of the RoBERTa family don't give to tokens."""


def load_pretrained(
    kind: type[Any], folder: Path, role: str, *, unused: str | None = None, advice: str = ""
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model in single precision, whatever its weights are stored in, and its tokenizer.

    Args:
        kind: one of transformers' Auto classes.
        folder: with safetensors weights.
        role: what the model is to be, for messages.
        unused: beginning of the names of weights that may be missing.
        advice: what to do where others are.

    Raises:
        UsageError: the files can't be loaded, or weights are missing, which would start at random.
    """
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model, report = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except UNREADABLE as error:
        raise unreadable(folder, role, error) from error
    missing = [n for n in sorted(report["missing_keys"]) if unused is None or unused not in n]
    if missing:
        names = ", ".join(missing[:3])
        raise UsageError(f"{folder}: weights are missing for {role}: {names}{advice}")
    return model, tokenizer


def readable_length(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> int:
    """Return how many tokens a model reads, by its tokenizer, else by its positions."""
    if tokenizer.model_max_length < LARGEST_LENGTH:
        return int(tokenizer.model_max_length)
    positions = getattr(config, "max_position_embeddings", None)
    return LARGEST_LENGTH if positions is None else int(positions) - RESERVED_POSITIONS


def unreadable(folder: Path, role: str, error: Exception) -> UsageError:
    """Say what was wrong with the files, in one line."""
    reason = str(error).strip().splitlines()[0]
    return UsageError(f"{folder}: can't be loaded as {role}: {reason}")
