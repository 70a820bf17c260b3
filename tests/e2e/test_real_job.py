"""The main job on real images beats the simple methods, even after a short training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import morula
from morula.data import load_records
from morula.metrics import instance_scores
from morula.recipes import load_recipe


def some(real_data: Path, name: str, folder: Path) -> tuple[Path, Path]:
    """Four images of a set and their masks, in folders of their own."""
    source = real_data / name / "open"
    images, masks = folder / "images", folder / "masks"
    images.mkdir()
    masks.mkdir()
    every = sorted((source / "images").iterdir())
    for path in every[:: len(every) // 4][:4]:
        shutil.copy(path, images)
        shutil.copy(source / "masks" / path.name, masks)
    return images, masks


@pytest.mark.real
def test_a_short_run_beats_otsu_and_watershed(real_data: Path, tmp_path: Path) -> None:
    images, masks = some(real_data, "dsb2018", tmp_path)
    result = morula.run(images, labels=masks, out=tmp_path / "run", preset="fast", device="cpu")
    assert result.scores is not None
    control = json.loads((result.path / "controls" / "otsu-watershed" / "scores.json").read_text())
    assert result.scores["ap50"] > np.mean([row["ap50"] for row in control.values()])


@pytest.mark.real
def test_pseudo_labels_beat_otsu_and_watershed_before_any_training(real_data: Path, tmp_path: Path) -> None:
    records, _ = load_records(*some(real_data, "hist_monuseg", tmp_path))
    recipe = load_recipe("psm")
    methods = recipe.controls(records, recipe.presets()["best"])

    def aji(method: str) -> float:
        found = [instance_scores(methods[method](each.image).labels, each.labels()) for each in records]
        return float(np.mean([scores["aji"] for scores in found]))

    assert aji("pseudo-labels") > aji("otsu-watershed") + 0.03
