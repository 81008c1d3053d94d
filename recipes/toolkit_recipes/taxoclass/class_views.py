"""Views of a class: texts that say the same thing in other words, whose vectors are averaged.

A short name is ambiguous ("gear", "work"). The class above it and those below it say which sense is
meant, and one wording says what another leaves open.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from toolkit_recipes.taxoclass.presets import SEPARATOR
from toolkit_recipes.taxoclass.taxonomy import Taxonomy


def view_texts(taxonomy: Taxonomy, templates: str) -> list[list[str]]:
    """Return the texts of all classes, underscores as spaces, for each of the templates.

    ``{name}`` stands for the name with its key terms, ``{parent}`` for the name of the first class
    above, ``{path}`` for the names from a root down, ``{children}`` for the names right below. A
    root has its own name for ``{parent}``, a leaf for ``{children}``.

    Args:
        taxonomy: of the classes.
        templates: separated by ``|``.
    """
    return [_texts(taxonomy, template.strip()) for template in templates.split(SEPARATOR)]


def mean_vectors(encode: Callable[[list[str]], Tensor], views: Sequence[list[str]]) -> Tensor:
    """Return the mean direction of what all views say of each class [classes, width].

    Args:
        encode: returns a vector of length 1 per text.
        views: the texts of all classes, for each view.
    """
    total = torch.stack([encode(texts) for texts in views]).sum(dim=0)
    return torch.nn.functional.normalize(total, dim=1)


def _texts(taxonomy: Taxonomy, template: str) -> list[str]:
    def text(c: int) -> str:
        # In one pass, so that braces in a name are no placeholders.
        return _PLACEHOLDER.sub(
            lambda found: _WORDS[found[1]](taxonomy, c).replace("_", " "), template
        )

    return [text(c) for c in range(len(taxonomy))]


def _name(taxonomy: Taxonomy, c: int) -> str:
    return ", ".join([taxonomy.names[c], *taxonomy.terms[c]])


def _parent(taxonomy: Taxonomy, c: int) -> str:
    return taxonomy.names[next(iter(taxonomy.parents[c]), c)]


def _path(taxonomy: Taxonomy, c: int) -> str:
    return " > ".join(taxonomy.names[i] for i in taxonomy.paths_to(c)[0])


def _children(taxonomy: Taxonomy, c: int) -> str:
    return ", ".join(taxonomy.names[i] for i in taxonomy.children[c] or (c,))


_WORDS: Mapping[str, Callable[[Taxonomy, int], str]] = MappingProxyType(
    {"name": _name, "parent": _parent, "path": _path, "children": _children}
)
_PLACEHOLDER = re.compile(f"{{({'|'.join(_WORDS)})}}")
