from pathlib import Path

import pytest

from morula.workflows.big import BigPrediction


@pytest.mark.parametrize(("block", "unit"), [((64, 256, 256), "voxels"), ((2048, 2048), "pixels")])
@pytest.mark.parametrize(
    ("objects", "told"), [(None, "at most 1.50 GB of disk"), (7, "7 objects in 3 blocks")]
)
def test_what_is_told_of_a_prediction(
    block: tuple[int, ...], unit: str, objects: int | None, told: str
) -> None:
    text = str(BigPrediction(Path("a"), "labels/b", objects, 3, block, (8,) * len(block), 1_500_000_000, 2.0))
    assert told in text
    assert f"3 blocks of {' x '.join(map(str, block))} {unit} with a halo of 8" in text
