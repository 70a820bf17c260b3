"""Self-training without labels: neurons of a watershed teach a network, then its own do.

The watershed of grey values errs often, but not everywhere alike: a network that sees much of it learns what
its borders have in common, and finds better neurons than those it learned from. Each round starts from the
network of the one before (Lee, "Pseudo-label", 2013; Xie et al., "Self-training with noisy student", CVPR
2020: crops are recoloured, so the pupil has to do with less than its teacher).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from morula.core.config import override
from morula.core.rng import Rng
from morula.core.types import Array
from morula.engine import Run, Weights
from morula.tasks.neurons.block import Dense
from morula.tasks.neurons.crops import window
from morula.tasks.neurons.decode import Decoder, decoder_of
from morula.tasks.neurons.finetune import finetuned
from morula.tasks.neurons.label_free import grey_affinities, grey_decoder
from morula.tasks.neurons.segmenter import segmenter_of
from morula.tasks.neurons.settings import Decode, Finetune, Network, SelfTraining, laid
from morula.tasks.neurons.unlabelled import Unlabelled

__all__ = ["self_train", "taught", "untuned"]

_PIECE, _PIECES = (128, 512, 512), 4


class _Joined(NamedTuple):
    """Thresholds of agglomeration: of neurons that are read, and of those that teach the next round."""

    read: float
    taught: float


_CUBES, _SECTIONS = _Joined(read=0.7, taught=0.8), _Joined(read=0.75, taught=0.65)


def self_train(
    run: Run,
    volumes: Unlabelled,
    start: Weights | None,
    settings: SelfTraining,
    finetune: Finetune,
    decode: Decode,
) -> Weights | None:
    """Learns affinities of whole volumes without labels, in the stages `self-training-1`, `-2` and so on.

    Args:
        run: finished stages are skipped.
        volumes: without labels.
        start: what the first round starts from, None for a start from scratch.
        settings: rounds and steps.
        finetune: crops, augmentation, loss and rate of learning, as with labels.
        decode: how neurons are made of affinities.

    Returns:
        The network of the last round, its last convolution with it; `start` where there are no steps.
    """
    if not settings.steps:
        return start
    decode = laid(decode, volumes.network, finetune)
    told = {each.__class__.__name__: each.model_dump(mode="json") for each in (settings, finetune, decode)}
    weights, teacher = start, None
    steps = max(1, settings.steps // settings.rounds)
    for number in range(1, settings.rounds + 1):
        stage = run.stage(f"self-training-{number}", **told)
        kept = stage.path / "network.safetensors"
        if not stage.done:
            parts = taught(run, volumes, teacher, decode)
            finetuned(
                run, stage, parts, override(finetune, {"steps": steps}), weights,
                network=volumes.network, isotropic=volumes.isotropic,
            ).save(kept)  # fmt: skip
            middle = len(parts[0].image) // 2
            stage.save_array("image", parts[0].image[middle])
            stage.save_array("taught", parts[0].labels[middle])
            stage.finish()
        weights = teacher = Weights.load(kept)
    return weights


def taught(run: Run, volumes: Unlabelled, teacher: Weights | None, decode: Decode) -> list[Dense]:
    """The volumes, and of large ones some boxes, with neurons that no label has a part in.

    Args:
        run: device, precision, and the stream that draws the boxes.
        volumes: without labels.
        teacher: the network whose neurons are taken; None for those of the grey values.
        decode: how neurons are made of affinities.
    """
    isotropic = volumes.isotropic
    parts: list[Dense] = []
    for corner, piece in _pieces(volumes.images, run.rng("self-training")):
        if teacher is None:
            found = grey_affinities(piece, isotropic=isotropic)
            labels = grey_decoder(decode, isotropic=isotropic)(found).labels
        else:
            labels = _neurons_found(run, piece, teacher, volumes.network, decode, isotropic=isotropic)
        parts.append(Dense(piece, labels, corner))
    return parts


def _pieces(images: Sequence[Array], rng: Rng) -> list[tuple[tuple[int, ...], Array]]:
    """Boxes, with their corners, that are small enough to find neurons in within minutes and in memory."""
    found: list[tuple[tuple[int, ...], Array]] = []
    for number, image in enumerate(images):
        size = tuple(min(a, b) for a, b in zip(_PIECE, image.shape, strict=True))
        draw = rng.at(number)
        count = 1 if size == image.shape else _PIECES
        boxes = [window(draw, image.shape, size) for _ in range(count)]
        found += [(tuple(each.start for each in box), image[box]) for box in boxes]
    return found


def untuned(decode: Decode, *, isotropic: bool) -> Decoder:
    """What makes neurons of affinities where no label says which threshold is best."""
    joined = _CUBES if isotropic else _SECTIONS
    return replace(decoder_of(decode, isotropic=isotropic), linkage="mean", threshold=joined.read)


def _neurons_found(
    run: Run,
    image: Array,
    weights: Weights,
    network: Network,
    decode: Decode,
    *,
    isotropic: bool,
) -> Array:
    """Neurons `(z, y, x)` int32 that a network finds in grey values, joined as far as they are to teach.

    Those of cubes are joined further than they are to be read, and did better by it; those of thick sections
    less far: otherwise each round joins more, until all are one (docs/adr/0006).

    Args:
        run: device and precision.
        image: as `grey` gives it.
        weights: of all the network.
        network: its settings.
        decode: how tiles are laid, and fragments made and joined.
        isotropic: whether z is an axis like the others.
    """
    joined = _CUBES if isotropic else _SECTIONS
    decoder = replace(untuned(decode, isotropic=isotropic), threshold=joined.taught)
    once = override(decode, {"mirrors": 1})
    segmenter = segmenter_of(weights, network, decoder, once, run.fabric, isotropic=isotropic)
    return decoder(segmenter.affinities(image)).labels
