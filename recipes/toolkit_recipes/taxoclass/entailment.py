"""Stage 1 with a language inference model, as the paper has it (section 4.1).

The similarity of a document and a class is the probability, according to the model, that the
document entails a sentence with the class name: the softmax over all of the model's labels, taken
at the one that is called entailment.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from attrs import frozen
from torch import Tensor
from transformers import AutoConfig
from transformers import AutoModelForSequenceClassification
from transformers import PretrainedConfig
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase

from toolkit.errors import UsageError
from toolkit_recipes.console import Reporter
from toolkit_recipes.loop import gather_rows
from toolkit_recipes.model_hub import ModelFiles
from toolkit_recipes.model_hub import find_model
from toolkit_recipes.taxoclass.pair_cache import PairCache
from toolkit_recipes.taxoclass.pair_tokens import PairTokens
from toolkit_recipes.taxoclass.presets import SimilarityConfig
from toolkit_recipes.taxoclass.pretrained import load_pretrained
from toolkit_recipes.taxoclass.pretrained import readable_length
from toolkit_recipes.taxoclass.pretrained import unreadable

ROLE = "a sequence classifier"
ADVICE = "; similarity.model must be trained for language inference"

ENTAILMENT = "entail"
"""How the name of the label begins: entailment, ENTAILMENT, entails; not_entailment doesn't."""
PORTION = 4096
"""Pairs between two writes to the cache: what a kill can cost."""
TOKENS_IN_CPU_CACHE = 1024
"""Beyond these, what a layer computes of a batch no longer fits into a processor's cache."""


def find_entailment_model(model: str) -> ModelFiles:
    """Find the files of a language inference model, and check that it says which label entails.

    Args:
        model: a folder or a name on the Hugging Face hub.

    Raises:
        UsageError: found nowhere, or no label or several are called entailment.
    """
    files = find_model("similarity.model", model)
    entailment_label(_read_config(files.folder), files.folder)
    return files


def entailment_label(config: PretrainedConfig, folder: Path) -> int:
    """Return the position of the entailment label, found by its name in any case.

    Args:
        config: of the model; both ``id2label`` and ``label2id`` are looked into.
        folder: of the model, for messages.

    Raises:
        UsageError: no label or several are called so; labels without names (``LABEL_0``) say
            nothing.
    """
    names, ids = config.id2label or {}, config.label2id or {}
    named = [*names.items(), *((i, name) for name, i in ids.items())]
    found = {int(i) for i, name in named if str(name).strip().lower().startswith(ENTAILMENT)}
    if len(found) == 1:
        return found.pop()
    written = ", ".join(str(name) for _, name in sorted(names.items()))
    problem = "several of its labels are" if found else "none of its labels is"
    raise UsageError(
        f"{folder}: {problem} called entailment (labels: {written}); give a language inference "
        "model with similarity.model, or put the names that its authors give into id2label and "
        "label2id of its config.json"
    )


@frozen(eq=False)
class EntailmentModel:
    """A sequence classifier and how to read its answer; load it with :meth:`load`."""

    classifier: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    label: int
    """Position of the entailment label."""
    longest: int
    """Tokens of a pair that it can read."""
    padding: int

    @classmethod
    def load(cls, folder: Path) -> EntailmentModel:
        """Load a model for reading, on the CPU.

        Raises:
            UsageError: it can't be loaded, has no trained classification head, or no label is
                called entailment.
        """
        label = entailment_label(_read_config(folder), folder)
        classifier, tokenizer = load_pretrained(
            AutoModelForSequenceClassification, folder, ROLE, advice=ADVICE
        )
        tokenizer.truncation_side = "right"
        padding = tokenizer.pad_token_id
        if padding is None:
            padding = classifier.config.pad_token_id or 0
        classifier.config.pad_token_id = padding
        longest = readable_length(tokenizer, classifier.config)
        classifier.train(mode=False)
        return cls(classifier, tokenizer, label, longest, padding)


@frozen(eq=False)
class EntailmentPairs:
    """Probabilities that documents entail classes, computed when asked for; see :meth:`create`.

    All processes ask for the same pairs, and each computes its share. Pairs are sorted by length,
    so that a batch holds little padding. What is in the cache isn't computed again.
    """

    model: EntailmentModel
    tokens: PairTokens
    cache: PairCache
    most_tokens: int
    """Tokens read at once, padding included."""
    accelerator: Accelerator
    reporter: Reporter

    @classmethod
    def create(
        cls,
        model: EntailmentModel,
        documents: Sequence[str],
        classes: Sequence[str],
        config: SimilarityConfig,
        cache: PairCache,
        accelerator: Accelerator,
        reporter: Reporter,
    ) -> EntailmentPairs:
        """Tokenise all texts and put the model where it is to work.

        Args:
            model: is put on the accelerator's device.
            documents: texts of the documents, the premises.
            classes: texts of the classes, the hypotheses.
            config: the length that is read, and the batch size.
            cache: of this model, this length and this number format.
            accelerator: says which device, number format and processes to use.
            reporter: is told about the progress.

        Raises:
            UsageError: a class text leaves no room for a document.
        """
        longest = min(config.max_length, model.longest)
        if longest < config.max_length:
            asked = f"similarity.max_length={config.max_length}"
            reporter.say(f"{asked}: the model reads only {longest}")
        tokens = PairTokens.read(documents, classes, model.tokenizer, longest, model.padding)
        model.classifier.to(accelerator.device)
        most_tokens = config.batch_size * longest
        if accelerator.device.type == "cpu":
            most_tokens = min(most_tokens, TOKENS_IN_CPU_CACHE)
        return cls(model, tokens, cache, most_tokens, accelerator, reporter)

    def __len__(self) -> int:
        return len(self.tokens.documents)

    def score(self, documents: Tensor, classes: Tensor) -> Tensor:
        """Return P(entailment) of pairs [pairs] on the CPU, in single precision.

        Raises:
            UsageError: the model says something that isn't a number.
        """
        found = self.cache.read(documents, classes)
        missing = found.isnan().nonzero().flatten()
        lengths = self.tokens.lengths(documents[missing], classes[missing])
        longest_first = missing[lengths.argsort(descending=True, stable=True)]
        portions = torch.split(longest_first, PORTION) if len(missing) else ()
        for portion in self.reporter.track(portions, f"{len(missing)} pairs (by {PORTION})"):
            pairs = documents[portion], classes[portion]
            found[portion] = self._compute(*pairs)
            self.cache.write(*pairs, found[portion])
        return found

    def _compute(self, documents: Tensor, classes: Tensor) -> Tensor:
        """Return P(entailment) of pairs that are sorted by length, on every process."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        mine = torch.arange(len(documents))[rank::world]
        mine = mine if len(mine) else torch.tensor([0])  # some are computed twice
        lengths = self.tokens.lengths(documents[mine], classes[mine])
        with torch.inference_mode(), self.accelerator.autocast():
            parts = [
                self._probabilities(documents[batch], classes[batch])
                for batch in torch.split(mine, batch_sizes(lengths.tolist(), self.most_tokens))
            ]
        places = mine.to(self.accelerator.device)
        rows = torch.cat(parts).clone()[:, None]
        whole = gather_rows(self.accelerator, places, rows, len(documents)).cpu()[:, 0]
        if not whole.isfinite().all():
            raise UsageError(
                f"{self.model.tokenizer.name_or_path} says something that isn't a number in "
                f"{self.accelerator.mixed_precision} precision; use mixed_precision=bf16 or no"
            )
        return whole

    def _probabilities(self, documents: Tensor, classes: Tensor) -> Tensor:
        inputs = self.tokens.inputs(documents, classes, self.accelerator.device)
        logits: Tensor = self.model.classifier(**inputs).logits
        return logits.float().softmax(dim=1)[:, self.model.label]


def batch_sizes(lengths: Sequence[int], most_tokens: int) -> list[int]:
    """Return how many pairs each batch takes, one batch after the other.

    A batch has as many pairs as fit where each takes as much room as its longest, one at least.

    Args:
        lengths: tokens of each pair, the longest first.
        most_tokens: of a batch.
    """
    sizes: list[int] = []
    start = 0
    while start < len(lengths):
        sizes.append(min(max(most_tokens // lengths[start], 1), len(lengths) - start))
        start += sizes[-1]
    return sizes


def _read_config(folder: Path) -> PretrainedConfig:
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise unreadable(folder, ROLE, error) from error
    return config
