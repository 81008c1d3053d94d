"""The classifier: a document encoder, a class encoder, and how they are matched (section 4.3).

The paper scores a pair with sigmoid(exp(c B d)), which can't go below one half; here, as in every
implementation that trains, the bilinear form itself is the logit.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch import nn
from transformers import PreTrainedModel

from toolkit.errors import UsageError
from toolkit_recipes.taxoclass.class_encoder import ClassEncoder
from toolkit_recipes.taxoclass.presets import ClassifierConfig
from toolkit_recipes.taxoclass.presets import last_layers


class ClassMatcher(nn.Module):
    """Scores document vectors against all classes.

    The bilinear form starts as a multiple of the identity where both sides come from one encoder,
    so that an untrained classifier ranks by the similarity of document and class name. Dropout
    leaves out the same features of all documents, so that a step learns the same whatever parts its
    documents are dealt in.

    Args:
        document_width: of the document vectors.
        class_features: [classes, width], what is known of each class before training.
        edge_index: [2, edges] of the taxonomy, both directions.
        config: of the class encoder, and how the bilinear form starts.
    """

    class_features: Tensor
    edge_index: Tensor

    def __init__(
        self,
        document_width: int,
        class_features: Tensor,
        edge_index: Tensor,
        config: ClassifierConfig,
    ) -> None:
        super().__init__()
        num_classes, class_width = class_features.shape
        self.register_buffer("class_features", class_features.clone())
        self.register_buffer("edge_index", edge_index.clone())
        self.class_encoder = ClassEncoder(class_width, edge_index, num_classes, config)
        self.bilinear = nn.Parameter(_start(document_width, class_width, config.initial_scale))
        self.class_bias = nn.Linear(class_width, 1)
        nn.init.zeros_(self.class_bias.weight)
        nn.init.constant_(self.class_bias.bias, config.initial_bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return logits [documents, classes] of document vectors [documents, width]."""
        with torch.autocast(vectors.device.type, enabled=False):
            classes = self.class_encoder(self.class_features)
            kept = self.dropout(classes.new_ones(1, vectors.shape[1]))
            documents = vectors.float() * kept
            logits: Tensor = documents @ self.bilinear @ classes.T + self.class_bias(classes).T
            return logits


class TaxoClassifier(nn.Module):
    """Scores tokenised documents against all classes of a taxonomy.

    Args:
        encoder: any Hugging Face encoder that returns ``last_hidden_state``.
        class_features: [classes, width], see :func:`centred`.
        edge_index: [2, edges] of the taxonomy, both directions.
        config: pooling, class encoder, matching.
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        class_features: Tensor,
        edge_index: Tensor,
        config: ClassifierConfig,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.config = config
        width: int = encoder.config.hidden_size
        self.matcher = ClassMatcher(width, class_features, edge_index, config)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return a vector per document [documents, width]."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.config.pooling == "cls":
            first: Tensor = states[:, 0].float()
            return first
        weights = attention_mask[:, :, None].float()
        mean: Tensor = (states.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        return nn.functional.normalize(mean, dim=1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits [documents, classes].

        Args:
            input_ids: [documents, length] from the encoder's tokenizer.
            attention_mask: the same shape, 1 where there is a token.
        """
        logits: Tensor = self.matcher(self.encode(input_ids, attention_mask))
        return logits


def centred(name_vectors: Tensor) -> Tensor:
    """Return class features: name vectors without what all of them share, each of length 1."""
    return nn.functional.normalize(name_vectors - name_vectors.mean(dim=0), dim=1)


def choose_trainable(encoder: PreTrainedModel, trained: str) -> None:
    """Say which part of the encoder learns: ``full``, ``frozen`` or ``last_layers=N``.

    Word embeddings learn only with ``full``; a pooling layer, which the classifier doesn't use,
    never does.

    Raises:
        UsageError: it is none of these, N isn't a whole number from 1, or the encoder has no stack
            of N layers.
    """
    encoder.requires_grad_(trained == "full")
    pooler = getattr(encoder, "pooler", None)
    if isinstance(pooler, nn.Module):
        pooler.requires_grad_(False)
    if trained not in {"full", "frozen"}:
        for layer in _last_layers(encoder, trained):
            layer.requires_grad_(True)


def _last_layers(encoder: PreTrainedModel, trained: str) -> nn.ModuleList:
    count = last_layers(trained)
    if count is None:
        raise UsageError(
            f"training.encoder={trained}: give full, frozen or last_layers=N, N a whole number "
            "from 1"
        )
    for module in encoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) >= count:
            return module[-count:]
    raise UsageError(
        f"training.encoder={trained}: {type(encoder).__name__} has no stack of so many layers; "
        "give fewer, or full or frozen"
    )


def _start(document_width: int, class_width: int, scale: float) -> Tensor:
    if document_width == class_width:
        return scale * torch.eye(document_width)
    start = torch.empty(document_width, class_width)
    nn.init.xavier_uniform_(start)
    return start
