"""Classes added to a trained model by their names, without training it again.

The class encoder makes a class vector from the name's and its neighbours' (section 4.3), whatever
classes it was trained on, so that it can encode one that it has never met. What the model says of
the other classes stays as it was, but for the new class's neighbours: their vectors come from the
graph, which is another one now.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import attrs
import torch
from accelerate import Accelerator
from attrs import frozen
from rich.console import Console
from torch import Tensor

from toolkit.errors import UsageError
from toolkit.errors import did_you_mean
from toolkit_recipes.console import Reporter
from toolkit_recipes.model_hub import ModelFiles
from toolkit_recipes.paths import given_path
from toolkit_recipes.taxoclass.class_encoder import both_directions
from toolkit_recipes.taxoclass.class_views import mean_vectors
from toolkit_recipes.taxoclass.class_views import view_texts
from toolkit_recipes.taxoclass.classifier import TaxoClassifier
from toolkit_recipes.taxoclass.classifier import centred
from toolkit_recipes.taxoclass.encoder import TextEncoder
from toolkit_recipes.taxoclass.encoder import find_encoder
from toolkit_recipes.taxoclass.evidence import NAME_ALONE
from toolkit_recipes.taxoclass.key_terms import Terms
from toolkit_recipes.taxoclass.model_files import SavedModel
from toolkit_recipes.taxoclass.rows import Row
from toolkit_recipes.taxoclass.rows import read_rows
from toolkit_recipes.taxoclass.similarity import class_texts
from toolkit_recipes.taxoclass.similarity import cosine_similarity
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build

ADDITION_LINE = "`class name TAB parent` or `class name TAB parent TAB class id`"
SEPARATOR = ":"
_ENCODER = "encoder"
"""The key that names the untrained encoder."""
LEAST_COSINE = 0.98
"""Of what is known of a class with the same made once more: number formats may differ."""

Encode = Callable[[list[str]], Tensor]
"""Turns texts into vectors [texts, width] as the untrained encoder of stage 1 does."""

_OF_THE_GRAPH = ("class_features", "edge_index")


class AddConfig(Protocol):
    """The keys of a command line that can add classes."""

    @property
    def add(self) -> tuple[str, ...]:
        """Words, see :func:`read_additions`."""

    @property
    def add_from(self) -> str | None:
        """A file of them."""

    @property
    def encoder(self) -> str | None:
        """Folder or name of the untrained encoder, where it isn't the model's."""


@frozen
class Addition:
    """A class to add."""

    name: str
    parent: str
    """Name or id of the class above it; empty for a class of the top level."""
    id: str
    source: str
    """Where it was asked for, in words for an error message."""

    def error(self, message: str) -> UsageError:
        """Return an error that says where this was asked for."""
        return UsageError(f"{self.source}: {message}")


@frozen(eq=False)
class Extended:
    """A model with further classes."""

    model: SavedModel
    notes: tuple[str, ...]
    """A sentence for each class."""


def read_additions(words: Iterable[str], file: str | None = None) -> list[Addition]:
    """Read the classes to add from the command line and from a file, in this order.

    Args:
        words: ``name:parent`` each; the last colon counts. Without a parent (``name:``) it is a
            class of the top level.
        file: lines ``name TAB parent``; a third column is the id. Without it the name is the id.

    Raises:
        UsageError: a word has no colon, a line no tab, or there is nothing to add.
    """
    found = [*map(_from_word, words)]
    if file is not None:
        found += map(_from_row, read_rows(given_path(file), ADDITION_LINE))
    if not found:
        raise UsageError("no class to add; give add=NAME:PARENT, or add_from=FILE with lines of it")
    return found


def extended_taxonomy(taxonomy: Taxonomy, additions: Iterable[Addition]) -> Taxonomy:
    """Put classes below those that are there; they come last, so that no position changes.

    A class may lie below one that was added before it.

    Raises:
        UsageError: the parent is unknown, or the name or id is taken or can't be written.
    """
    ids, names = list(taxonomy.ids), list(taxonomy.names)
    edges = [(p, c) for p, below in enumerate(taxonomy.children) for c in below]
    for new in additions:
        _check(new, ids, names)
        if new.parent:
            edges.append((_find(new, ids, names), len(ids)))
        ids.append(new.id)
        names.append(new.name)
    fill: list[Terms] = [()] * (len(ids) - len(taxonomy))
    return build(ids, names, edges, terms=[*taxonomy.terms, *fill])


def extend(model: SavedModel, additions: Sequence[Addition], encode: Encode) -> Extended:
    """Return a model that knows further classes; the given one stays as it is.

    Args:
        model: trained.
        additions: the classes to add.
        encode: the untrained encoder that the model's class vectors came from.

    Raises:
        UsageError: a class can't be added, or this is another encoder.
    """
    old, taxonomy = model.taxonomy, extended_taxonomy(model.taxonomy, additions)
    new = range(len(old), len(taxonomy))
    names = encode(class_texts(taxonomy.names, NAME_ALONE, taxonomy.terms))
    features = _features(model, names)
    vectors = _class_vectors(model, taxonomy, names[len(old) :], encode)
    zero_shot = model.zero_shot
    if zero_shot is not None:
        known = torch.cat([zero_shot.class_vectors, vectors])
        zero_shot = attrs.evolve(zero_shot, class_vectors=known)
    means = _mean_similarities(model, taxonomy, vectors)
    extended = attrs.evolve(
        model,
        classifier=_classifier(model, features, taxonomy),
        taxonomy=taxonomy,
        calibration=attrs.evolve(model.calibration, class_means=means),
        zero_shot=zero_shot,
        added=(*model.added, *(taxonomy.ids[c] for c in new)),
    )
    return Extended(extended, tuple(_note(c, old, taxonomy) for c in new))


def add_classes(
    model: SavedModel, folder: Path, wanted: AddConfig, accelerator: Accelerator
) -> Extended:
    """Read what classes are wanted, load the encoder, and extend a model by them.

    The encoder is the one in the model's folder where there is one, the model's own where training
    left it as it was, and otherwise the one that its configuration names.

    Args:
        model: that they are added to.
        folder: that it was loaded from.
        wanted: the classes, and where to find the encoder.
        accelerator: says which device and number format to use.

    Raises:
        UsageError: a class can't be added, or the encoder isn't there.
    """
    additions = read_additions(wanted.add, wanted.add_from)
    extended_taxonomy(model.taxonomy, additions)  # a mistake shows before anything is loaded
    if wanted.encoder is not None:
        files = find_encoder(wanted.encoder, _ENCODER)
    elif model.zero_shot is not None:
        files = ModelFiles(model.zero_shot.folder, "path")
    elif model.config.training.encoder == "frozen":
        files = ModelFiles(folder, "path")
    else:
        files = find_encoder(model.config.encoder.model, _ENCODER)
    reporter = Reporter(Console(quiet=True))
    encoder = TextEncoder(files, model.config.encoder, accelerator, reporter)
    return extend(model, additions, lambda texts: encoder.encode(texts, "class names"))


def _from_word(word: str) -> Addition:
    name, colon, parent = (part.strip() for part in word.rpartition(SEPARATOR))
    if not colon:
        raise UsageError(
            f"add={word}: no colon; give NAME:PARENT, several with commas between them, or use "
            "add_from=FILE for names with commas"
        )
    return Addition(name, parent, name, f"add={word}")


def _from_row(row: Row) -> Addition:
    parent, _, identifier = (part.strip() for part in row.value.partition("\t"))
    return Addition(row.key, parent, identifier or row.key, f"{row.file}, line {row.line}")


def _check(new: Addition, ids: Sequence[str], names: Sequence[str]) -> None:
    if not new.name or set(new.name) & set("\t\r\n"):
        raise new.error("a class needs a name, in one line and without tabs")
    if "," in new.id:
        raise new.error(
            f"class id {new.id!r} has a comma, which separates ids elsewhere; give it another id, "
            "in the third column of add_from=FILE"
        )
    if new.name in names:
        raise new.error(
            f"class name {new.name!r} is already taken (id {ids[names.index(new.name)]}); a name "
            "is all that is known of a class, so write each one differently"
        )
    if new.id in ids:
        raise new.error(
            f"class id {new.id!r} is already taken (by {names[ids.index(new.id)]!r}); give another "
            "in the third column of add_from=FILE"
        )


def _find(new: Addition, ids: Sequence[str], names: Sequence[str]) -> int:
    """Return the position of the parent; an id goes before an equal name."""
    for known in (ids, names):
        if new.parent in known:
            return known.index(new.parent)
    hint = did_you_mean(new.parent, [*names, *ids])
    raise new.error(f"there is no class {new.parent!r} to put {new.name!r} below{hint}")


def _features(model: SavedModel, names: Tensor) -> Tensor:
    """Return the class features [classes, width]; those of known classes as they were.

    Args:
        model: as it was.
        names: vectors of the names of all classes, the new ones last.
    """
    known = model.classifier.matcher.class_features.cpu()
    count = len(known)
    if names.shape[1] != known.shape[1] or not _are_alike(centred(names[:count]), known):
        raise UsageError(
            "the model's classes aren't what this encoder makes of their names, so it can't encode "
            "a new one; give encoder=FOLDER|NAME, the untrained one that the model was trained with"
        )
    new = torch.nn.functional.normalize(names[count:] - names[:count].mean(dim=0), dim=1)
    return torch.cat([known, new])


def _class_vectors(model: SavedModel, taxonomy: Taxonomy, names: Tensor, encode: Encode) -> Tensor:
    """Return what stage 1 makes of the new classes [new classes, width].

    Where terms were mined, there are none for a new class, and its name stands alone.
    """
    config = model.config.similarity
    views = view_texts(taxonomy, config.template)
    vectors = mean_vectors(encode, [texts[len(model.taxonomy) :] for texts in views])
    if not config.mined_terms:
        return vectors
    return torch.nn.functional.normalize(torch.lerp(vectors, names, config.terms_weight), dim=1)


def _are_alike(made: Tensor, known: Tensor) -> bool:
    # A class that is the mean of all of them, such as the only one, has no direction.
    nowhere = (made.norm(dim=1) == 0) & (known.norm(dim=1) == 0)
    return bool((((made * known).sum(dim=1) > LEAST_COSINE) | nowhere).all())


def _classifier(model: SavedModel, features: Tensor, taxonomy: Taxonomy) -> TaxoClassifier:
    """Put the learned weights, none of which knows how many classes there are, on another graph."""
    trained = model.classifier
    made = TaxoClassifier(trained.encoder, features, both_directions(taxonomy), trained.config)
    learned = {n: p for n, p in trained.matcher.state_dict().items() if n not in _OF_THE_GRAPH}
    made.matcher.load_state_dict(learned, strict=False)
    return made.eval()


def _mean_similarities(model: SavedModel, taxonomy: Taxonomy, vectors: Tensor) -> Tensor:
    """Return what each class's similarity is on average [classes], the new ones measured.

    Without kept documents a new class takes the mean of its siblings.

    Args:
        model: as it was.
        taxonomy: with the new classes.
        vectors: of the texts of the new classes.
    """
    means = model.calibration.class_means
    kept = model.documents
    if model.zero_shot is not None and kept is not None and kept.untrained is not None:
        return torch.cat([means, cosine_similarity(kept.untrained, vectors).mean(dim=0)])
    for c in range(len(means), len(taxonomy)):
        known = [sibling for sibling in taxonomy.siblings[c] if sibling < c]
        means = torch.cat([means, means[known or list(taxonomy.parents[c])].mean()[None]])
    return means


def _note(c: int, old: Taxonomy, taxonomy: Taxonomy) -> str:
    """Say where a class went, and what that means for the one above it."""
    name = f"{taxonomy.names[c]!r} (id {taxonomy.ids[c]})"
    if not taxonomy.parents[c]:
        return f"{name} is a class of the top level"
    (parent,) = taxonomy.parents[c]
    above, beside = taxonomy.names[parent], len(taxonomy.children[parent]) - 1
    if parent not in old.leaves:
        return f"{name} is below {above!r}, beside {beside} others"
    fate = f"to it or {beside} others" if beside else "to it; add the other classes there as well"
    return f"{name} is below {above!r}, which was a leaf: all its documents now go on {fate}"
