"""CREMI: dense neurons of the adult fruit fly brain in serial-section TEM, three samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from morula.core.types import Record, Voxel
from morula.data.label_block import load_block
from morula.data.sets import neurons
from morula.data.sets.layout import chosen, inside, not_found
from morula.data.sets.public_set import PublicSet, SetFile

__all__ = ["SET", "VOXEL", "records"]

_ADDRESS = "https://cremi.org/static/data"
_CHECKSUMS = {
    "A": "4c563d1b78acb2bcfb3ea958b6fe1533422f7f4a19f3e05b600bfa11430b510d",
    "B": "887e85521e00deead18c94a21ad71f278d88a5214c7edeed943130a1f4bb48b8",
    "C": "2874496f224d222ebc29d0e4753e8c458093e1d37bc53acd1b69b19ed1ae7052",
}


def _file(sample: str, sha256: str | None) -> SetFile:
    name = f"sample_{sample}_20160501.hdf"
    return SetFile(f"{_ADDRESS}/{name}", sha256, name)


SET = PublicSet(
    name="cremi",
    title="CREMI: neurons in ssTEM of the adult Drosophila brain",
    files=(
        *(_file(sample, sha256) for sample, sha256 in _CHECKSUMS.items()),
        *(_file(f"{sample}_padded", None) for sample in _CHECKSUMS),
    ),
    licence="not stated here; read the terms on the homepage",
    citation="Funke et al., Circuit Reconstruction from Electron Microscopy Images, MICCAI challenge (2016)",
    homepage="https://cremi.org",
    splits=(*_CHECKSUMS, *(f"{sample}-padded" for sample in _CHECKSUMS)),
    notes=(
        "UNVERIFIED: the checksums of A, B and C are those of torch-em, for the padded files none is known; "
        "the layout is tested with synthetic files alone. 125 sections of 1250 x 1250 px, 40 nm apart. A "
        "padded file has the same labels and more image around them: its record has the box of the labels. "
        "The server's certificate was reported as expired."
    ),
)

VOXEL = Voxel(z=40.0, y=4.0, x=4.0)


def records(root: Path, split: str) -> list[Record]:
    """The one volume of a split, with its neurons; a padded volume is read whole to find their box.

    Args:
        root: folder of the set, or any folder with the published files in it.
        split: `A`, `B`, `C`, or `A-padded`, `B-padded`, `C-padded`.

    Raises:
        UsageError: there is no such split.
        DataError: the file is not there or damaged.
    """
    chosen(SET, split)
    name = f"sample_{split.replace('-', '_')}_20160501.hdf"
    found = inside(root, name)
    if not found:
        raise not_found(SET, root, name)
    raw, labels = (Path(f"{found[0]}:/volumes/{key}") for key in ("raw", "labels/neuron_ids"))
    key, group = f"{SET.name}_{split}", f"{SET.name}_{split[0]}"
    if split in _CHECKSUMS:
        return [neurons.record(key, group, raw, labels, VOXEL)]
    return [replace(load_block(raw, labels, voxel=VOXEL), id=key, group=group)]
