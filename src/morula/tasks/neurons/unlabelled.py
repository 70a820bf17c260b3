"""Volumes without labels, and the weights that pre-training on them leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from morula.core.config import Config
from morula.core.errors import DataError, UsageError
from morula.core.types import Array, Record
from morula.engine import Run, Stage, Weights, weights_file
from morula.tasks.neurons.augment import symmetry
from morula.tasks.neurons.block import grey
from morula.tasks.neurons.crops import fitting, window
from morula.tasks.neurons.finetune import HEAD, has_affinities
from morula.tasks.neurons.geometry import build, described, is_isotropic, offsets_of
from morula.tasks.neurons.settings import Network

__all__ = ["Unlabelled", "given_weights", "pretrained", "unlabelled_of"]

_HEADS = (HEAD, "lateral.", "shallow.")  # how tensors begin that pre-training, without skips, does not train


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """What a network is pre-trained on.

    Attributes:
        images: grey values `(z, y, x)` float32 in [0, 1].
        isotropic: whether z is an axis like the others.
        network: settings of the network.
    """

    images: tuple[Array, ...]
    isotropic: bool
    network: Network

    def size(self, crop: tuple[int, int, int]) -> tuple[int, int, int]:
        """The largest crop up to the wanted size that fits into every volume and can be turned."""
        least = np.min([image.shape for image in self.images], axis=0)
        return fitting(crop, tuple(map(int, least)), isotropic=self.isotropic)

    def crop(self, draw: np.random.Generator, size: tuple[int, int, int]) -> Array:
        """A crop of a random volume at a random place, turned and mirrored, in [0, 1] float32."""
        voxels = np.array([image.size for image in self.images], float)
        image = self.images[int(draw.choice(len(voxels), p=voxels / voxels.sum()))]
        (crop,) = symmetry(draw, (image[window(draw, image.shape, size)],), isotropic=self.isotropic)
        return crop.astype(np.float32)


def unlabelled_of(records: Sequence[Record], network: Network) -> Unlabelled:
    """Reads the volumes.

    Raises:
        DataError: the voxels of one are cubes and those of another are not, or one has a single section.
    """
    single = next((record for record in records if record.image.shape[0] < 2), None)
    if single is not None:
        fix = "give two sections or more; what links them is learned, too"
        raise DataError(single.id, "a volume of a single section", fix)
    kinds = [is_isotropic(network, record.image.voxel) for record in records]
    if len(set(kinds)) > 1:
        flat = records[kinds.index(False)].id
        fix = "pre-train on volumes of one kind, or choose network.geometry"
        raise DataError(flat, "its voxels are deeper than wide, and those of other volumes are cubes", fix)
    return Unlabelled(tuple(grey(record.image) for record in records), kinds[0], network)


def pretrained(run: Run, volumes: Unlabelled, settings: Config, fit: Callable[[Stage], nn.Module]) -> Weights:
    """All of a pre-trained network but its last convolution, kept in the run as the stage `pretrain`.

    Nothing is trained if the stage is done.

    Args:
        run: where to.
        volumes: that it pre-trains on.
        settings: of the pre-training; with others the stage is another one.
        fit: gives the network, its checkpoints in the stage.
    """
    stage = run.stage("pretrain", settings=settings.model_dump(mode="json"))
    kept = stage.path / "encoder.safetensors"
    if not stage.done:
        network = fit(stage)
        info = described(volumes.network, isotropic=volumes.isotropic)
        _headless(Weights.of(network, info)).save(kept)
        stage.finish()
    return Weights.load(kept)


def given_weights(run: Run, path: Path, volumes: Unlabelled) -> Weights:
    """Weights from an earlier run, or a file of one, kept in this run as the stage `weights`.

    The last convolution comes along if it gives the affinities that are to be learned, else it is left out.

    Args:
        run: that starts from them.
        path: a run's folder, or a file that `Weights.save` wrote.
        volumes: whose network they must fit.

    Raises:
        DataError: there are no weights, they cannot be read, or their run is not finished.
        UsageError: they are of another network.
    """
    file = weights_file(path)
    found = Weights.load(file)
    network, isotropic = volumes.network, volumes.isotropic
    _check_fit(file, found, volumes)
    if not has_affinities(found, network, isotropic=isotropic):
        found = _headless(found)
    stage = run.stage("weights", tensors=found.fingerprint)
    if not stage.done:
        found.save(stage.path / "encoder.safetensors")
        stage.finish(source=str(file))
    return found


def _check_fit(file: Path, found: Weights, volumes: Unlabelled) -> None:
    """Refuses weights of another network, and such as leave more of it untrained than its heads."""
    network, isotropic = volumes.network, volumes.isotropic
    theirs, ours = found.info, described(network, isotropic=isotropic)
    pairs = {"architecture": (theirs.network, ours.network)}
    if theirs.arguments:  # earlier versions stored none
        pairs |= {key: (theirs.arguments.get(key), value) for key, value in ours.arguments.items()}
    told = [f"{key} {its}, not {wanted}" for key, (its, wanted) in pairs.items() if its != wanted]
    if not told:
        whole = build(network, len(offsets_of(network, isotropic=isotropic)), isotropic=isotropic)
        report = found.load_into(whole)
        strange = (*report.skipped, *report.missing)
        lost = [name for name in strange if not name.startswith(_HEADS)]
        told = [f"{len(lost)} tensors fit nowhere or are missing, {lost[0]} the first"] if lost else []
    if told:
        fix = "use weights of the same preset and shape of voxel, or change network.* to fit"
        raise UsageError("--weights", f"{file} is of another network: {'; '.join(told)}", fix)


def _headless(whole: Weights) -> Weights:
    kept = {name: tensor for name, tensor in whole.tensors.items() if not name.startswith(HEAD)}
    return Weights(kept, replace(whole.info, kind="encoder"))
