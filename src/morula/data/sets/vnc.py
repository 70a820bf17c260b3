"""VNC: mitochondria of the ventral nerve cord of a fruit fly larva in serial-section TEM."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from morula.core.types import Array, Record, Voxel
from morula.data.box import crop
from morula.data.masks import read_mask
from morula.data.open import open_volume
from morula.data.sets.layout import chosen, not_found
from morula.data.sets.public_set import Morphology, PublicSet, SetFile
from morula.data.volumes import as_stack

__all__ = ["HALF", "SET", "VOXEL", "records"]

SET = PublicSet(
    name="vnc",
    title="VNC: ssTEM of the ventral nerve cord of a Drosophila larva",
    files=(
        SetFile(
            "https://github.com/unidesigner/groundtruth-drosophila-vnc/archive/refs/heads/master.zip",
            "f7bd0db03c86b64440a16b60360ad60c0a4411f89e2c021c7ee2c8d6af3d7e86",
            "groundtruth-drosophila-vnc.zip",
        ),
    ),
    licence="CC BY-NC-SA 3.0",
    citation="Gerhard et al., figshare 856713 (2013)",
    homepage="https://github.com/unidesigner/groundtruth-drosophila-vnc",
    splits=("train", "test", "stack1", "stack2"),
    notes=(
        "train and test are the left and right half of stack1, as in the domain adaptation literature; the "
        "halves share sections, so that scores within the set are optimistic. stack2 has no labels. Some "
        "label sections are written 0/1 and some 0/255; all that is not 0 is mitochondrion. Sections are 45 "
        "to 50 nm apart; 45 is used."
    ),
    morphology=(Morphology("train", 0.006005852143346416, solidity=0.945538),),
)

HALF = 512
"""Column at which stack1 is cut into the training and the test half."""

VOXEL = Voxel(z=45.0, y=4.6, x=4.6)

_COLUMNS = {"train": slice(None, HALF), "test": slice(HALF, None)}


@dataclass(frozen=True)
class _Mitochondria:
    folder: Path
    columns: slice

    def __call__(self) -> Array:
        return np.ascontiguousarray(read_mask(self.folder)[..., self.columns], dtype=np.int32)


def records(root: Path, split: str) -> list[Record]:
    """The one volume of a split, with its mitochondria as 0 and 1.

    Args:
        root: folder of the set, or any folder that the archive was unpacked into.
        split: `train` and `test`, the halves of stack1; `stack1`; `stack2`, without labels.

    Raises:
        UsageError: there is no such split.
        DataError: the sections are not there.
    """
    chosen(SET, split)
    stack = "stack2" if split == "stack2" else "stack1"
    raw = _folder(root, stack, "raw")
    image = replace(as_stack(open_volume(raw)), voxel=VOXEL)
    columns = _COLUMNS.get(split, slice(None))
    name = f"{SET.name}_{split}"
    if split == "stack2":
        return [Record(name, image, group=f"{SET.name}_{stack}")]
    part = crop(image, (slice(None), slice(None), columns))
    labels = _Mitochondria(_folder(root, stack, "mitochondria"), columns)
    return [Record(name, part, labels, group=f"{SET.name}_{stack}")]


def _folder(root: Path, stack: str, kind: str) -> Path:
    found = sorted(path for path in root.rglob(f"{stack}/{kind}") if path.is_dir())
    if not found:
        raise not_found(SET, root, f"{stack}/{kind}")
    return found[0]
