"""FIB-25: dense neurons of the fruit fly's medulla in FIB-SEM, the samples that NeuroProof comes with."""

from __future__ import annotations

from pathlib import Path

from morula.core.errors import DataError
from morula.core.types import Record, Voxel
from morula.data.sets import neurons
from morula.data.sets.layout import chosen, inside, not_found
from morula.data.sets.public_set import PublicSet, SetFile

__all__ = ["SET", "VOXEL", "records"]

_ADDRESS = "https://storage.googleapis.com/ffn-flyem-fib25"
_CHECKSUMS = {
    "training_sample2/grayscale_maps.h5": "ea031c98ee2de778a9a3a1e6d410df5de73e4ac28022df8e7255d84e3394cafa",
    "training_sample2/groundtruth.h5": "fd508e7aee1fe51ac9ae0460db4a841d275236f013c1f2552314b4f21b1010ea",
    "validation_sample/grayscale_maps.h5": "400ccb2a7268a3880c63656e0d794f8e6252e62031869455cc8caeef245b2a83",
    "validation_sample/groundtruth.h5": "2c5e31af0af5476bc9669b88d01a4570a26eb020799eaf6131aa75f2f7d92e98",
    "tstvol-520-1/raw.h5": "0667e701c8b4464003d8a6cb0cf9deb2aa79fb415ec51deeac92e5f9c67a5a66",
    "tstvol-520-1/groundtruth.h5": "ae61ae78a9874eb35ae8e5ed29b4cbfe7bbd07a61789ddb70aef4deb2532eb4e",
}

SET = PublicSet(
    name="fib25",
    title="FIB-25: neurons in FIB-SEM of the Drosophila medulla",
    files=tuple(SetFile(f"{_ADDRESS}/{name}", sha256, name) for name, sha256 in _CHECKSUMS.items()),
    licence="redistribution with attribution; read LICENSE.txt on the homepage",
    citation="Takemura et al., PNAS 112:13711 (2015)",
    homepage="https://github.com/janelia-flyem/neuroproof_examples",
    splits=("training_sample2", "validation_sample", "tstvol-520-1"),
    notes=(
        "Cubes of 250 and 520 voxels, 10 nm. The files are those that were made for flood-filling networks; "
        "the checksums are those of torch-em. A copy of the homepage's repository will do as well, with its "
        "sections as PNG, once its groundtruth.h5.gz are unpacked. Supervoxels are joined to bodies by the "
        "table of each file. The layout is tested with synthetic files alone."
    ),
)

_SECTIONS = "grayscale_maps.h5", "grayscale_maps"
_IMAGES = {"training_sample2": _SECTIONS, "validation_sample": _SECTIONS, "tstvol-520-1": ("raw.h5",)}

VOXEL = Voxel(z=10.0, y=10.0, x=10.0)


def records(root: Path, split: str) -> list[Record]:
    """The one volume of a split, with its neurons.

    Args:
        root: folder of the set, or any folder with `<split>/groundtruth.h5`, and beside it the image as
            `grayscale_maps.h5` or a folder of sections, `grayscale_maps`; of `tstvol-520-1` as `raw.h5`.
        split: `training_sample2`, `validation_sample` or `tstvol-520-1`.

    Raises:
        UsageError: there is no such split.
        DataError: the volume or its labels are not there, or still packed.
    """
    chosen(SET, split)
    folder = next((path for path in sorted(root.rglob(split)) if path.is_dir()), None)
    if folder is None:
        raise not_found(SET, root, split)
    labels = folder / "groundtruth.h5"
    if not labels.is_file():
        if packed := inside(folder, "groundtruth.h5.gz"):
            raise DataError(packed[0], "still packed", f"unpack it: gunzip {packed[0]}")
        raise not_found(SET, folder, labels.name)
    images = [folder / name for name in _IMAGES[split]]
    image = next((path for path in images if path.exists()), None)
    if image is None:
        raise not_found(SET, folder, images[0].name)
    stack = Path(f"{labels}:/stack")
    return [neurons.record(f"{SET.name}_{split}", f"{SET.name}_{split}", image, stack, VOXEL)]
