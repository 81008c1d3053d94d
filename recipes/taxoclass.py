"""Put documents into a taxonomy from class names alone, and measure how well that went.

    accelerate launch recipes/taxoclass.py [preset=NAME] [config=FILE] [key=value ...]

``help`` lists the keys. Without ``data=FOLDER`` it works on the small corpus that comes with it.
"""

from __future__ import annotations

from pathlib import Path

import toolkit
from toolkit_recipes.config import as_dict
from toolkit_recipes.loop import environment
from toolkit_recipes.loop import main_process_first
from toolkit_recipes.loop import run_recipe
from toolkit_recipes.loop import start_accelerator
from toolkit_recipes.loop import start_reporter
from toolkit_recipes.taxoclass.candidates import find_candidates
from toolkit_recipes.taxoclass.core_classes import confidence
from toolkit_recipes.taxoclass.core_classes import find_core_classes
from toolkit_recipes.taxoclass.core_classes import mining_statistics
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.corpus import read_dataset
from toolkit_recipes.taxoclass.decode import decode
from toolkit_recipes.taxoclass.decode import predictions_as_jsonl
from toolkit_recipes.taxoclass.decode import zero_shot_scores
from toolkit_recipes.taxoclass.encoder import TextEncoder
from toolkit_recipes.taxoclass.encoder import find_encoder
from toolkit_recipes.taxoclass.metrics import evaluate
from toolkit_recipes.taxoclass.presets import PRESETS
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.similarity import class_texts
from toolkit_recipes.taxoclass.similarity import cosine_similarity
from toolkit_recipes.taxoclass.similarity import propagate
from toolkit_recipes.taxoclass.similarity import similarity_statistics


def main(config: TaxoClassConfig) -> None:
    """Mine core classes of the train documents, and classify the test documents untrained."""
    data = read_dataset(SAMPLE if config.data is None else Path(config.data).expanduser())
    taxonomy = data.taxonomy
    accelerator = start_accelerator(config.mixed_precision, config.seed)
    reporter = start_reporter(accelerator)
    with main_process_first(accelerator):
        files = find_encoder(config.encoder.model)
    encoder = TextEncoder(files, config.encoder, accelerator, reporter)

    with toolkit.start_run(project="taxoclass", tags=["hierarchical", "taxonomy"]) as run:
        setting = environment(accelerator, config.seed) | {"encoder_source": files.source}
        run.log_params(as_dict(config) | setting)
        run.log_dict(as_dict(config), "config.json")
        reporter.table("Setting", data.summary() | setting)

        reporter.stage("Stage 1: similarity of documents and classes")
        texts = class_texts(taxonomy.names, config.similarity.template)
        classes = encoder.encode(texts, "classes")
        train = cosine_similarity(encoder.encode(data.train.texts, "train documents"), classes)
        stage1 = similarity_statistics(train)
        run.log_metrics(stage1)

        reporter.stage("Stage 2: candidate and core classes of the train documents")
        scores = propagate(train, taxonomy) if config.search.scores == "propagated" else train
        candidates = find_candidates(scores, taxonomy)
        core = find_core_classes(confidence(train, taxonomy), candidates)
        stage2 = mining_statistics(core)
        run.log_metrics(stage2)

        reporter.stage("Zero-shot classification of the test documents")
        test = cosine_similarity(encoder.encode(data.test.texts, "test documents"), classes)
        scores = zero_shot_scores(test, train.mean(dim=0), taxonomy, config.decode.propagation)
        decoded = decode(scores, taxonomy)
        quality = evaluate(data.test_gold, decoded.matrix(), decoded.ranking, taxonomy)
        run.log_metrics(quality)
        run.log_text(predictions_as_jsonl(decoded, data.test, taxonomy), "test/predictions.jsonl")

        reporter.table("Results", stage1 | stage2 | quality)
        if run.dir:
            reporter.say(f"Recorded in {run.dir}; look at it with `toolkit runs show {run.id}`")
    accelerator.end_training()


if __name__ == "__main__":
    run_recipe(main, TaxoClassConfig, PRESETS)
