"""A trained classifier on disk: a Hugging Face encoder with the taxonomy and the head beside it.

::

    FOLDER/
      config.json, model.safetensors    the document encoder: AutoModel.from_pretrained(FOLDER)
      tokenizer files                   AutoTokenizer.from_pretrained(FOLDER)
      head.safetensors                  class encoder and bilinear form
      labels.txt, label_hierarchy.txt   the taxonomy, and key_terms.txt where there are any
      taxoclass.json                    configuration of the recipe, and metrics
      calibration.safetensors           what turns logits into scores
      zero_shot/                        the untrained encoder, where scores need it
      documents.safetensors, .jsonl     some of the train documents, where they are kept
      README.md                         what this is and how to load it

Tensors are safetensors and all else is text: loading runs no code from the folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import attrs
from attrs import field
from attrs import frozen
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModel
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase

from toolkit.errors import UsageError
from toolkit_recipes.config import as_dict
from toolkit_recipes.paths import given_path
from toolkit_recipes.saved_settings import read_settings
from toolkit_recipes.taxoclass.calibration import Calibration
from toolkit_recipes.taxoclass.classifier import TaxoClassifier
from toolkit_recipes.taxoclass.kept_documents import KeptDocuments
from toolkit_recipes.taxoclass.kept_documents import read_kept
from toolkit_recipes.taxoclass.kept_documents import write_kept
from toolkit_recipes.taxoclass.level_calibration import LevelCalibration
from toolkit_recipes.taxoclass.model_card import model_card
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.pretrained import POOLER
from toolkit_recipes.taxoclass.pretrained import load_pretrained
from toolkit_recipes.taxoclass.taxonomy import HIERARCHY_FILE
from toolkit_recipes.taxoclass.taxonomy import LABELS_FILE
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import read_taxonomy_folder
from toolkit_recipes.taxoclass.taxonomy import write_taxonomy_folder

FORMAT = 1
"""Raised when older versions can't read what is written any more."""
ARTIFACT = "taxo_model"
"""What a run calls the model that it trained."""
ENCODER_CONFIG = "config.json"
HEAD = "head.safetensors"
SETTINGS = "taxoclass.json"
CALIBRATION = "calibration.safetensors"
ZERO_SHOT = "zero_shot"
CLASS_VECTORS = "class_vectors"
REQUIRED = (ENCODER_CONFIG, HEAD, LABELS_FILE, HIERARCHY_FILE, SETTINGS, CALIBRATION)

_ENCODER = "encoder."
_FEATURES, _EDGES = "matcher.class_features", "matcher.edge_index"
_COPIED = frozenset({".json", ".txt", ".model", ".safetensors"})


@frozen(eq=False)
class ZeroShot:
    """What compares documents and classes without training, as in stage 1."""

    folder: Path
    """The untrained encoder, in sentence-transformers or plain Hugging Face layout."""
    class_vectors: Tensor
    """[classes, width]: the encoded class texts."""


@frozen(eq=False)
class SavedModel:
    """Everything that is needed to classify documents.

    Args:
        classifier: in evaluation mode, on the CPU.
        tokenizer: of its encoder.
        taxonomy: the classes, in the order of the logits.
        config: how the model was made; folders of that machine are left out, and of a model in a
            folder the last part of its path is kept.
        calibration: turns logits into scores.
        zero_shot: needed and kept only where ``decode.zero_shot_weight`` is above 0.
        metrics: results on the test documents, where there were any.
        levels: turns scores into probabilities; older models have none.
        documents: some of those that the model was trained on, to explain its answers by.
        added: ids of the classes that came by name alone, after training.
    """

    classifier: TaxoClassifier
    tokenizer: PreTrainedTokenizerBase
    taxonomy: Taxonomy
    config: TaxoClassConfig
    calibration: Calibration
    zero_shot: ZeroShot | None = None
    metrics: Mapping[str, float] = field(factory=dict)
    levels: LevelCalibration | None = None
    documents: KeptDocuments | None = None
    added: tuple[str, ...] = ()


def save(folder: Path, model: SavedModel) -> None:
    """Write a model into a new or empty folder.

    Raises:
        UsageError: there is something in the folder.
        ValueError: the model lacks what its ``decode.zero_shot_weight`` needs.
    """
    zero_shot = model.zero_shot if model.config.decode.zero_shot_weight > 0 else None
    if model.config.decode.zero_shot_weight > 0 and zero_shot is None:
        raise ValueError("decode.zero_shot_weight is above 0, so the model needs zero_shot")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: already there; give a new or empty folder for the model")
    folder.mkdir(parents=True, exist_ok=True)
    model.classifier.encoder.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    write_taxonomy_folder(folder, model.taxonomy)
    state = model.classifier.state_dict()
    _write_tensors(folder / HEAD, {k: v for k, v in state.items() if not k.startswith(_ENCODER)})
    tensors = model.calibration.saved() | ({} if model.levels is None else model.levels.saved())
    if zero_shot is not None:
        _copy_encoder(zero_shot.folder, folder / ZERO_SHOT)
        tensors[CLASS_VECTORS] = zero_shot.class_vectors
    _write_tensors(folder / CALIBRATION, tensors)
    if model.documents is not None:
        write_kept(folder, model.documents, model.taxonomy)
    config = _published(model.config)
    settings = {"format": FORMAT, "config": as_dict(config), "metrics": dict(model.metrics)}
    settings |= {"added": model.added} if model.added else {}
    _write_text(folder / SETTINGS, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
    _write_text(folder / "README.md", _card(model, config))


def load(folder: Path | str) -> SavedModel:
    """Read a model that :func:`save` wrote.

    Raises:
        UsageError: the folder isn't such a model; the message says what is missing or wrong.
    """
    folder = Path(folder)
    _check_files(folder)
    settings = read_settings(folder / SETTINGS, _Settings, FORMAT)
    taxonomy = read_taxonomy_folder(folder)
    head = _read_tensors(folder / HEAD)
    encoder, tokenizer = load_pretrained(AutoModel, folder, "the encoder", unused=POOLER)
    classifier = _assemble(encoder, head, settings.config, folder / HEAD)
    calibration, zero_shot, levels = _read_calibration(folder, settings.config)
    if len(classifier.matcher.class_features) != len(taxonomy):
        raise UsageError(
            f"{folder}: {LABELS_FILE} has {len(taxonomy)} classes, but the model was trained on "
            f"{len(classifier.matcher.class_features)}; put the model's own file back"
        )
    return SavedModel(
        classifier=classifier,
        tokenizer=tokenizer,
        taxonomy=taxonomy,
        config=settings.config,
        calibration=calibration,
        zero_shot=zero_shot,
        metrics=settings.metrics,
        levels=levels,
        documents=read_kept(folder, taxonomy),
        added=settings.added,
    )


@frozen
class _Settings:
    """The content of ``taxoclass.json``."""

    format: int
    config: TaxoClassConfig
    metrics: dict[str, float]
    added: tuple[str, ...] = ()


def _card(model: SavedModel, config: TaxoClassConfig) -> str:
    kept = 0 if model.documents is None else len(model.documents)
    return model_card(model.taxonomy, config, model.metrics, added=model.added, kept=kept)


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if not any(folder.glob("model*.safetensors")):
        missing.append("model.safetensors")
    if missing:
        raise UsageError(
            f"{folder}: not a saved TaxoClass model, for it has no {', no '.join(missing)}; give "
            "the whole folder, or the run that trained the model"
        )


def _assemble(
    encoder: PreTrainedModel, head: Mapping[str, Tensor], config: TaxoClassConfig, file: Path
) -> TaxoClassifier:
    missing = [name for name in (_FEATURES, _EDGES) if name not in head]
    if not missing:
        classifier = TaxoClassifier(encoder, head[_FEATURES], head[_EDGES], config.classifier)
        try:
            found = classifier.load_state_dict(dict(head), strict=False)
        except RuntimeError as error:
            raise UsageError(f"{file}: doesn't fit its configuration: {error}") from None
        missing = [name for name in found.missing_keys if not name.startswith(_ENCODER)]
    if missing:
        raise UsageError(f"{file}: has no {', no '.join(missing)}")
    return classifier.eval()


def _read_calibration(
    folder: Path, config: TaxoClassConfig
) -> tuple[Calibration, ZeroShot | None, LevelCalibration | None]:
    tensors = _read_tensors(folder / CALIBRATION)
    try:
        calibration, levels = Calibration.restored(tensors), LevelCalibration.restored(tensors)
        if config.decode.zero_shot_weight == 0:
            return calibration, None, levels
        vectors = tensors[CLASS_VECTORS]
    except KeyError as error:
        raise UsageError(f"{folder / CALIBRATION}: has no {error.args[0]}") from None
    if not (folder / ZERO_SHOT / ENCODER_CONFIG).is_file():
        raise UsageError(
            f"{folder}: no {ZERO_SHOT}/{ENCODER_CONFIG}, the untrained encoder that a model with "
            "decode.zero_shot_weight needs; give the whole folder"
        )
    return calibration, ZeroShot(folder / ZERO_SHOT, vectors), levels


def _published(config: TaxoClassConfig) -> TaxoClassConfig:
    """Leave out the folders of this machine; of a model in a folder only its name is kept."""
    encoder = attrs.evolve(config.encoder, model=_without_folder(config.encoder.model))
    similarity = attrs.evolve(config.similarity, model=_without_folder(config.similarity.model))
    return attrs.evolve(config, data=None, cache=None, encoder=encoder, similarity=similarity)


def _without_folder(model: str) -> str:
    folder = given_path(model)
    return os.path.basename(os.path.abspath(folder)) if folder.is_dir() else model


def _copy_encoder(source: Path, target: Path) -> None:
    """Copy the files that loading needs, in their folders; no code and no pickles."""
    for file in sorted(source.rglob("*")):
        if file.is_file() and file.suffix in _COPIED:
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def _write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, file)


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{file}: can't be read ({error})") from None
    return tensors


def _write_text(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="")
