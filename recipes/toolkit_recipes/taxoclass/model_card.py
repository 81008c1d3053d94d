"""The README of a saved model, written from what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence

from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.taxonomy import Taxonomy

_HEADER = """\
---
library_name: transformers
pipeline_tag: text-classification
tags:
- hierarchical-text-classification
- taxoclass
---

# TaxoClass model
"""

_USE = """\
## Use

The whole classifier:

```python
from toolkit_recipes.taxoclass.classify import Classifier
from toolkit_recipes.taxoclass.model_files import load

decoded = Classifier(load("FOLDER")).classify(["text of a document"])
```

From the command line, to JSON lines: `python recipes/taxoclass_predict.py model=FOLDER input=FILE`

The document encoder alone, without the classes:

```python
from transformers import AutoModel, AutoTokenizer

encoder, tokenizer = AutoModel.from_pretrained("FOLDER"), AutoTokenizer.from_pretrained("FOLDER")
```
"""


def model_card(
    taxonomy: Taxonomy,
    config: TaxoClassConfig,
    metrics: Mapping[str, float],
    *,
    added: Sequence[str] = (),
    kept: int = 0,
) -> str:
    """Return the text: what the model does, its classes, how to use it, and its results.

    Args:
        taxonomy: of the classes.
        config: how the model was made.
        metrics: results on the test documents.
        added: ids of the classes that were added after that.
        kept: train documents of which the model has vectors and the beginning of the text.
    """
    parts = [
        _HEADER,
        _description(taxonomy, config) + _contents(taxonomy, config, added, kept),
        _USE,
    ]
    return "\n".join([*parts, _results(metrics, added)] if metrics else parts)


def _contents(taxonomy: Taxonomy, config: TaxoClassConfig, added: Sequence[str], kept: int) -> str:
    names = ", ".join(taxonomy.names[taxonomy.positions[c]] for c in added)
    lines = [f"- Added by name after training: {names}\n"] if added else []
    if kept:
        text = " and how its text begins" if config.keep.characters else ""
        lines.append(
            f"- Train documents in this folder: {kept}, each with its vector{text} "
            "(`documents.jsonl`)\n"
        )
    return "".join(lines)


def _description(taxonomy: Taxonomy, config: TaxoClassConfig) -> str:
    count, roots, leaves = len(taxonomy), len(taxonomy.roots), len(taxonomy.leaves)
    classifier = config.classifier
    return f"""\
Puts a document into a taxonomy: the answer is a path from a top-level class down to a leaf. It was
trained from class names and documents without labels, by the method of Shen et al., "TaxoClass:
Hierarchical Multi-Label Text Classification Using Only Class Names" (NAACL 2021).

- Classes: {count}, of which {roots} on the top level and {leaves} leaves; {_levels(taxonomy)}
- Top level: {", ".join(taxonomy.names[root] for root in taxonomy.roots)}
- Text read of a document: {config.encoder.max_length} tokens
- Class encoder: {classifier.gnn}, layers: {classifier.gnn_num_layers}
- Seed: {config.seed}
"""


def _levels(taxonomy: Taxonomy) -> str:
    levels = max(taxonomy.levels) + 1
    several = sum(len(parents) > 1 for parents in taxonomy.parents)
    return f"{levels} levels, {several} classes with several parents"


def _results(metrics: Mapping[str, float], added: Sequence[str]) -> str:
    before = ", before classes were added" if added else ""
    rows = "".join(f"| {name} | {value:.4f} |\n" for name, value in sorted(metrics.items()))
    return f"## Results on the test documents{before}\n\n| metric | value |\n|---|---|\n{rows}"
