"""A small language inference model, trained in seconds on generated pairs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from attrs import frozen
from tokenizers import Tokenizer
from tokenizers import models
from tokenizers import normalizers
from tokenizers import pre_tokenizers
from tokenizers import processors
from tokenizers import trainers
from torch import Tensor
from transformers import BertConfig
from transformers import BertForSequenceClassification
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast
from transformers import RobertaConfig
from transformers import RobertaForSequenceClassification

from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.corpus import read_dataset

Family = Literal["bert", "roberta"]
LABELS = ("ENTAILMENT", "NEUTRAL", "CONTRADICTION")
TEMPLATE = "this document is about {name}"
LONGEST = 64
BATCH, MOST_STEPS = 50, 3000
LEARNED, IN_A_ROW = 0.02, 20  # a loss, and the steps for which it must stay below
SUBJECTS = {
    "baking": ["bread", "flour", "oven", "dough", "cake"],
    "cycling": ["wheel", "chain", "bicycle", "ride", "road"],
    "sleep": ["night", "bed", "dream", "tired", "morning"],
}
FILLERS = ["the", "a", "of", "and", "it", "was", "with", "for"]
_SPECIAL = {
    "bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    "roberta": ("<pad>", "<unk>", "<s>", "</s>", "<mask>"),
}


@frozen(eq=False)
class SmallModel:
    """A trained model that can be saved with its labels in any order."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast

    def save(self, folder: Path, labels: Sequence[str] = LABELS) -> Path:
        """Save the model as if it had been trained with these labels, some of ``LABELS``.

        What it says of each label stays the same; names are compared without regard to case.
        """
        order = [LABELS.index(label.upper()) for label in labels]
        state = {
            name: tensor[order] if len(tensor) == len(LABELS) and "classifier" in name else tensor
            for name, tensor in self.model.state_dict().items()
        }
        config = type(self.model.config).from_dict(self.model.config.to_dict())
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: i for i, label in enumerate(labels)}
        copy = type(self.model)(config)
        copy.load_state_dict(state)
        copy.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        return folder


def train_small_model(family: Family) -> SmallModel:
    """Teach a model which of a few subjects a text is about.

    A text entails its own subject and contradicts others; one about nothing is neutral. It learns
    until it has them right, however many steps that takes with this machine's arithmetic.
    """
    tokenizer = tokenizer_of(family)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _model(family, tokenizer)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        draw = random.Random(0)
        right = 0
        for _ in range(MOST_STEPS):
            texts, hypotheses, labels = _pairs(draw)
            inputs = tokenizer(
                texts, hypotheses, padding=True, truncation="only_first", return_tensors="pt"
            )
            loss = model(**inputs, labels=labels).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            right = right + 1 if loss.item() < LEARNED else 0
            if right == IN_A_ROW:
                break
        else:
            raise AssertionError(f"The model has not learned its pairs in {MOST_STEPS} steps.")
    return SmallModel(model.train(mode=False), tokenizer)


def tokenizer_of(family: Family) -> PreTrainedTokenizerFast:
    """Make a tokenizer that knows the words of the shipped corpus and of the subjects."""
    words = [" ".join([subject, *about, *FILLERS]) for subject, about in SUBJECTS.items()]
    return _tokenizer(family, [*read_dataset(SAMPLE).train.texts, *words * 20])


def _pairs(draw: random.Random) -> tuple[list[str], list[str], Tensor]:
    """Draw texts of a subject, or of none, and sentences about that subject or another."""
    texts, hypotheses, labels = [], [], []
    for i in range(BATCH):
        subject, other = draw.sample(sorted(SUBJECTS), 2)
        label = (0, 2, 0, 2, 1)[i % 5]
        words = draw.sample(FILLERS if label == 1 else SUBJECTS[subject], draw.randint(3, 5))
        mixed = [*words, *draw.choices(FILLERS, k=draw.randrange(4))]
        texts.append(" ".join(draw.sample(mixed, len(mixed))))
        about = other if label == 2 else subject
        hypotheses.append(TEMPLATE.replace("{name}", about))
        labels.append(label)
    return texts, hypotheses, torch.tensor(labels)


def _model(family: Family, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "num_labels": len(LABELS),
        "pad_token_id": tokenizer.pad_token_id,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.2,  # with the usual .02 it takes thousands of steps
    }
    if family == "bert":
        return BertForSequenceClassification(BertConfig(max_position_embeddings=LONGEST, **sizes))
    return RobertaForSequenceClassification(
        RobertaConfig(max_position_embeddings=LONGEST + 2, type_vocab_size=1, **sizes)
    )


def _tokenizer(family: Family, texts: list[str]) -> PreTrainedTokenizerFast:
    special = _SPECIAL[family]
    pad, unknown, first, last, mask = special
    ends = ((last, special.index(last)), (first, special.index(first)))
    tokenizer: Tokenizer
    trainer: trainers.Trainer
    if family == "bert":
        tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=2000, special_tokens=list(special))
        tokenizer.post_processor = processors.BertProcessing(*ends)
        names = ["input_ids", "token_type_ids", "attention_mask"]
    else:
        tokenizer = Tokenizer(models.BPE(unk_token=unknown))
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        trainer = trainers.BpeTrainer(vocab_size=2000, special_tokens=list(special))
        tokenizer.post_processor = processors.RobertaProcessing(*ends)
        names = ["input_ids", "attention_mask"]
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        model_max_length=LONGEST,
        model_input_names=names,
        unk_token=unknown,
        pad_token=pad,
        cls_token=first,
        sep_token=last,
        mask_token=mask,
    )
