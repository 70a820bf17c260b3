"""The trained segmenter: what is saved of it, and what it makes of a volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import nn

from morula.blockwise import BlockModel, StoredAffinities
from morula.blockwise.grid import relative
from morula.blockwise.join import grown
from morula.core.affinities import Affinities, Offset
from morula.core.errors import DataError
from morula.core.files import write_json
from morula.core.types import Array, Segmentation, Volume
from morula.engine import Weights, read_json
from morula.tasks.neurons.blocks import block_model
from morula.tasks.neurons.decode import Decoder
from morula.tasks.neurons.geometry import build, offsets_of
from morula.tasks.neurons.mirror import averaged
from morula.tasks.neurons.predict import predict_affinities
from morula.tasks.neurons.settings import Decode, Network

__all__ = ["Segmenter", "load_segmenter", "save_segmenter", "segmenter_of"]

_CONTEXT = 16  # voxels


class Segmenter:
    """A network and a decoder: a volume becomes neurons.

    Args:
        network: volumes `(b, 1, z, y, x)` to logits of the affinities.
        offsets: of the affinities.
        decoder: with its threshold.
        settings: how tiles are laid.
        fabric: device and precision.
    """

    def __init__(
        self,
        network: nn.Module,
        offsets: tuple[Offset, ...],
        decoder: Decoder,
        settings: Decode,
        fabric: Fabric,
    ) -> None:
        self._network = network.to(fabric.device).eval()
        self._offsets, self._settings, self._fabric = offsets, settings, fabric
        self.decoder = decoder

    def affinities(self, image: Array) -> Affinities:
        """Affinities of grey values `(z, y, x)` as `grey` gives them."""
        with self._fabric.autocast():
            found = averaged(self._predict, image, self._settings.mirrors)
        return self.decoder.drawn(found, image)

    def within(self, image: Array, box: tuple[slice, ...]) -> Affinities:
        """Affinities `(c, z, y, x)` of a box in voxels, predicted with some of its surroundings in view.

        Args:
            image: grey values of the whole volume `(z, y, x)`, as `grey` gives them.
            box: a slice of each axis.
        """
        wide = grown(box, image.shape, (_CONTEXT,) * len(box))
        found = self.affinities(image[wide])
        return Affinities(found.values[:, *relative(box, wide)], found.offsets)

    def _predict(self, image: Array) -> Affinities:
        return predict_affinities(
            self._network,
            image,
            self._offsets,
            tile=self._settings.voxels,
            overlap=self._settings.overlap,
            device=self._fabric.device,
        )

    def __call__(self, volume: Volume) -> Segmentation:
        """Numbered neurons of a volume with axes `zyx`."""
        whole = tuple(slice(0, size) for size in volume.shape)
        values = self.blocks(volume).predict(volume.read(), whole)
        return self.decoder(StoredAffinities(values, self._offsets))

    def blocks(self, volume: Volume) -> BlockModel:
        """The same for a volume of any size, voxel for voxel: one prediction, in bytes, and one lattice."""
        return block_model(self._network, volume, self._offsets, self.decoder, self._settings, self._fabric)


def segmenter_of(
    weights: Weights, network: Network, decoder: Decoder, decode: Decode, fabric: Fabric, *, isotropic: bool
) -> Segmenter:
    """The segmenter of a trained network.

    Args:
        weights: of all the network.
        network: its settings.
        decoder: with its threshold.
        decode: how tiles are laid.
        fabric: device and precision.
        isotropic: whether z is an axis like the others.

    Raises:
        ValueError: a tensor fits nowhere.
    """
    offsets = offsets_of(network, isotropic=isotropic)
    module = build(network, len(offsets), isotropic=isotropic)
    weights.load_into(module)
    return Segmenter(module, offsets, decoder, decode, fabric)


def save_segmenter(
    folder: Path, weights: Weights, network: Network, decoder: Decoder, decode: Decode, *, isotropic: bool
) -> None:
    """Writes `network.safetensors` and `model.json`, which is all that `load_segmenter` needs."""
    weights.save(folder / "network.safetensors")
    described: dict[str, Any] = {
        "network": network.model_dump(mode="json"),
        "decode": decode.model_dump(mode="json"),
        "decoder": decoder.as_json(),
        "offsets": _listed(network, isotropic=isotropic),
        "polarity": "attractive",
        "isotropic": isotropic,
    }
    write_json(folder / "model.json", described)


def load_segmenter(folder: Path, fabric: Fabric) -> Segmenter:
    """What `save_segmenter` wrote.

    Raises:
        DataError: a file is missing or damaged, or of a version whose affinities have other offsets.
    """
    described = read_json(folder / "model.json")
    network = Network.model_validate(described["network"])
    if described["offsets"] != _listed(network, isotropic=described["isotropic"]):
        found = "its affinities have other offsets than this version learns"
        raise DataError(folder / "model.json", found, "train again, or use the version that wrote it")
    return segmenter_of(
        Weights.load(folder / "network.safetensors"),
        network,
        Decoder.of_json(described["decoder"]),
        Decode.model_validate(described["decode"]),
        fabric,
        isotropic=described["isotropic"],
    )


def _listed(network: Network, *, isotropic: bool) -> list[list[int]]:
    return [list(each) for each in offsets_of(network, isotropic=isotropic)]
