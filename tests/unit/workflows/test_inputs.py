"""What a run reads is never what it writes, or removes to begin anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from morula.core.errors import UsageError
from morula.workflows.pretrain import pretrain
from morula.workflows.train import train
from synthetic import save_folder


def test_corrected_predictions_of_a_run_do_not_go_back_into_it(tmp_path: Path) -> None:
    images, masks = save_folder(tmp_path, 1)
    labels = tmp_path / "mine" / "predictions"
    labels.parent.mkdir()
    masks.rename(labels)
    with pytest.raises(UsageError, match=r"predictions: it lies inside of --out .*mine"):
        train(images, labels=labels, recipe="psm", out=tmp_path / "mine", existing="overwrite")
    assert any(labels.iterdir())


@pytest.mark.parametrize("key", ["weights", "natural"])
def test_what_training_starts_from_is_not_the_run_that_it_replaces(tmp_path: Path, key: str) -> None:
    images, masks = save_folder(tmp_path, 1)
    start = [f"{key}={tmp_path / 'n'}"]
    with pytest.raises(UsageError, match=r"n: it lies inside of --out"):
        train(images, labels=masks, recipe="cupre", assignments=start, out=tmp_path / "n")


def test_volumes_to_pre_train_on_lie_elsewhere_also_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk" / "volumes").mkdir(parents=True)
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    with pytest.raises(UsageError, match=r"volumes: it lies inside of --out"):
        pretrain("mscon", tmp_path / "disk" / "volumes", out=tmp_path / "run")
