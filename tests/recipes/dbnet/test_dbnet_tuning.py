"""Rules of trying settings of the post-processing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from PIL import Image

from toolkit.errors import UsageError
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.presets import DbnetConfig
from toolkit_recipes.dbnet.presets import PostprocessConfig
from toolkit_recipes.dbnet.tuning import SWEPT
from toolkit_recipes.dbnet.tuning import StoredMap
from toolkit_recipes.dbnet.tuning import Trial
from toolkit_recipes.dbnet.tuning import TuneConfig
from toolkit_recipes.dbnet.tuning import as_columns
from toolkit_recipes.dbnet.tuning import find_tuning_pages
from toolkit_recipes.dbnet.tuning import plot_recall_and_precision
from toolkit_recipes.dbnet.tuning import settings
from toolkit_recipes.dbnet.tuning import try_setting

TRAINED = PostprocessConfig(thresh=0.3, box_thresh=0.6)
OWN = TuneConfig(unclip=(TRAINED.unclip,), min_size=(TRAINED.min_size,))


def test_the_networks_own_setting_comes_first_and_once() -> None:
    """Then every combination of the values, without the one that is the network's own."""
    config = evolve(OWN, thresh=(0.2, 0.3), box_thresh=(0.5, 0.6))
    found = [(s.thresh, s.box_thresh) for s in settings(config, TRAINED)]
    assert found == [(0.3, 0.6), (0.2, 0.5), (0.2, 0.6), (0.3, 0.5)]


def test_the_networks_own_values_are_always_tried() -> None:
    """Also with others' values, so that a change of one setting alone is among the trials."""
    config = evolve(OWN, thresh=(0.2,), box_thresh=(0.6,))
    assert [s.thresh for s in settings(config, TRAINED)] == [0.3, 0.2]
    own = PostprocessConfig(thresh=0.31, box_thresh=0.61, unclip=1.7, min_size=3.0)
    tried = list(settings(TuneConfig(), own))
    for name in SWEPT:
        values = {getattr(setting, name) for setting in tried}
        assert getattr(own, name) in values
        assert len(values) > 2
    assert len(set(tried)) == len(tried)


def test_nothing_to_try_is_refused() -> None:
    """The message names the key."""
    with pytest.raises(UsageError, match="thresh: give at least one"):
        list(settings(TuneConfig(thresh=()), TRAINED))


def test_problems_of_pages_are_told(tmp_path: Path) -> None:
    """A bad line is named with its file, and how many pages and texts there are is known."""
    write_page(tmp_path, ["10,10,50,10,50,20,10,20,A", "1,2,3"])
    found = find_tuning_pages(TuneConfig(data=str(tmp_path)), DbnetConfig())
    assert (found.counts["pages"], found.counts["texts"]) == (1, 1)
    (problem,) = found.problems
    assert "gt_1.txt, line 2" in problem


def test_pages_that_measure_nothing_are_refused(tmp_path: Path) -> None:
    """Where all texts are don't care, no setting is better than another."""
    write_page(tmp_path, ["10,10,50,10,50,20,10,20,###"])
    with pytest.raises(UsageError, match="no text that counts"):
        find_tuning_pages(TuneConfig(data=str(tmp_path)), DbnetConfig())


def write_page(folder: Path, lines: list[str]) -> None:
    """Write a page as ICDAR 2015 does."""
    Image.new("RGB", (64, 64)).save(folder / "1.png")
    (folder / "gt_1.txt").write_text("\n".join(lines), encoding="utf-8")


def _page(folder: Path) -> StoredMap:
    """A page with a sure text and a doubtful one."""
    prob = np.zeros((64, 64), np.float32)
    prob[10:15, 10:51] = 0.9
    prob[40:45, 10:51] = 0.45
    margin = np.array([(-1.2, -1.2), (1.2, -1.2), (1.2, 1.2), (-1.2, 1.2)])
    kernel = np.array([(10, 0), (50, 0), (50, 4), (10, 4)])
    grown = [margin + kernel + (0, y) for y in (10.5, 40.5)]
    regions = tuple(TextRegion(polygon) for polygon in grown)
    return StoredMap.store(folder / "0.npy", prob, regions, (64, 64), (1.0, 1.0))


def test_a_setting_is_measured_on_stored_maps(tmp_path: Path) -> None:
    """A lower box threshold finds the doubtful text as well."""
    maps = [_page(tmp_path)]
    strict = try_setting(PostprocessConfig(0.3, box_thresh=0.6), maps, shrink_ratio=0.6, iou=0.5)
    lenient = try_setting(PostprocessConfig(0.3, box_thresh=0.3), maps, shrink_ratio=0.6, iou=0.5)
    assert (strict["recall"], strict["precision"]) == (0.5, 1.0)
    assert lenient["recall"] == lenient["precision"] == 1.0


def test_the_overlap_that_counts_is_up_to_the_caller(tmp_path: Path) -> None:
    """No text is found exactly, so none counts where the outlines must be the same."""
    figures = try_setting(PostprocessConfig(), [_page(tmp_path)], shrink_ratio=0.6, iou=1.0)
    assert figures["recall"] == 0


def test_trials_make_a_table_and_a_plot() -> None:
    """A row and a point for each, the baseline and the best one named."""
    trials = [
        Trial("baseline", TRAINED, {"recall": 0.5, "precision": 1.0, "hmean": 0.67, "extra": 1.0}),
        Trial("other", TRAINED, {"recall": 0.9, "precision": 0.8, "hmean": 0.85}),
    ]
    columns = as_columns(trials)
    assert columns["name"] == ["baseline", "other"]
    assert columns["recall"] == [0.5, 0.9]
    assert "extra" not in columns
    figure = plot_recall_and_precision(trials[0], trials[1], trials)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == [
        "tried",
        "baseline: baseline, hmean 0.6700",
        "best: other, hmean 0.8500",
    ]
