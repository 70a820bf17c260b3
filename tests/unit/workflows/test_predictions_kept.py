"""Predictions that were made are not made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from morula.core.types import Record, Segmentation, Volume
from morula.data import load_records
from morula.workflows.predict import identities, segment
from synthetic import save_folder


class Model:
    """Finds one object, and is killed at the image that it is told."""

    def __init__(self, killed_at: str = "") -> None:
        self.asked: list[str] = []
        self._killed_at = killed_at

    def __call__(self, volume: Volume) -> Segmentation:
        name = Path(volume.uri).stem
        if name == self._killed_at:
            raise KeyboardInterrupt
        self.asked.append(name)
        return Segmentation(np.eye(*volume.spatial_shape, dtype=np.int32), np.ones(1), ("cell",))


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    return load_records(save_folder(tmp_path, 3, count=1)[0])[0]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "network").write_text("weights")
    return tmp_path / "run"


def found(model: Model, run: Path, records: list[Record]) -> dict[str, int]:
    made = segment(model, records, run / "out", identities(run, records), None)
    return {record.id: int(each.labels.sum()) for record, each in made}


def test_a_prediction_that_was_killed_goes_on(run: Path, records: list[Record]) -> None:
    with pytest.raises(KeyboardInterrupt):
        found(Model(killed_at="cells2"), run, records)
    again = Model()
    assert found(again, run, records) == {"cells0": 160, "cells1": 160, "cells2": 160}
    assert again.asked == ["cells2"]


def test_another_model_or_image_is_predicted_anew(run: Path, records: list[Record]) -> None:
    found(Model(), run, records)
    (run / "model" / "network").write_text("other weights")
    found(other := Model(), run, records)
    assert other.asked == ["cells0", "cells1", "cells2"]
    resized = [Record("cells0", records[1].image), *records[1:]]
    found(changed := Model(), run, resized)
    assert changed.asked == ["cells1"]  # the image that is now called cells0
