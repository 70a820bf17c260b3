"""A few labelled images among others, from the command to the ranking of what to label next."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import tifffile

import morula
from morula.core.errors import UsageError
from synthetic import save_folder


def test_one_label_segments_all_images_and_says_what_to_label_next(tmp_path: Path) -> None:
    images, masks = save_folder(tmp_path, 4)
    few, out = tmp_path / "few", tmp_path / "run"
    few.mkdir()
    shutil.copy(masks / "cells2.png", few)
    result = morula.run(images, labels=few, out=out, preset="smoke", device="cpu")
    assert result.recipe == "cupre"
    assert result.scores is None  # what it learned from cannot measure it
    assert not (out / "scores").exists()
    found = morula.evaluate(out / "predictions", masks, kind="instances")["mean"]
    assert found["ap50"] > 0.8
    with (out / "report" / "label_next.csv").open(newline="") as stream:
        assert sorted(row["image"] for row in csv.DictReader(stream)) == ["cells0", "cells1", "cells3"]
    for stem in result.images:
        with (out / "predictions" / stem / "objects.csv").open(newline="") as stream:
            scores = [float(row["score"]) for row in csv.DictReader(stream)]
        assert len(scores) == tifffile.imread(out / "predictions" / stem / "labels.tif").max()
        assert all(0 <= score <= 1 for score in scores)
    page = (out / "report" / "index.html").read_text()
    assert "label_next.csv" in page
    assert "the labels trained the network" in page
    new, truth = save_folder(tmp_path / "new", 1, size=200, count=25)
    morula.predict(out, new, out=tmp_path / "found", device="cpu")
    assert morula.evaluate(tmp_path / "found", truth, kind="instances")["mean"]["ap50"] > 0.7
    shutil.copy(masks / "cells1.png", few / "cells2.png")
    with pytest.raises(UsageError, match="another config, other images or another seed"):
        morula.run(images, labels=few, out=out, preset="smoke", device="cpu")
