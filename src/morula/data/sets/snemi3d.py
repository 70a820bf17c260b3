"""SNEMI3D: dense neurites of mouse cortex in serial-section SEM, the volumes of the challenge."""

from __future__ import annotations

from pathlib import Path

from morula.core.types import Record, Voxel
from morula.data.sets import neurons
from morula.data.sets.layout import chosen, inside, not_found
from morula.data.sets.public_set import PublicSet, SetFile

__all__ = ["SET", "VOXEL", "records"]

SET = PublicSet(
    name="snemi3d",
    title="SNEMI3D: neurites in ssSEM of mouse cortex",
    files=(SetFile("https://zenodo.org/records/7142003/files/snemi.zip?download=1", None, "snemi.zip"),),
    licence="CC BY 4.0",
    citation="Kasthuri et al., Cell 162:648 (2015); Arganda-Carreras et al., SNEMI3D (2013)",
    homepage="https://zenodo.org/records/7142003",
    splits=("train", "test"),
    notes=(
        "UNVERIFIED: no SHA-256 is known, and the layout is tested with synthetic files alone. 100 sections "
        "of 1024 x 1024 px in each split, 30 x 6 x 6 nm: image/train-input.tif, seg/train-labels.tif, "
        "image/test-input.tif. The labels of test were not published with it; a test-labels.h5 or .tif that "
        "is put beside the others is used."
    ),
)

VOXEL = Voxel(z=30.0, y=6.0, x=6.0)


def records(root: Path, split: str) -> list[Record]:
    """The one volume of a split, with its neurites where they are there.

    Args:
        root: folder of the set, or any folder with the published files in it.
        split: `train` or `test`.

    Raises:
        UsageError: there is no such split.
        DataError: the volume, or the labels of `train`, are not there.
    """
    chosen(SET, split)
    image = inside(root, f"{split}-input.tif")
    labels = [*inside(root, f"{split}-labels.tif"), *inside(root, f"{split}-labels.h5")]
    if not image or (split == "train" and not labels):
        raise not_found(SET, root, f"{split}-{'labels' if image else 'input'}.tif")
    name = f"{SET.name}_{split}"
    return [neurons.record(name, name, image[0], labels[0] if labels else None, VOXEL)]
