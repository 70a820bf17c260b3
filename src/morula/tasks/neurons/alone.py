"""A segmenter that no label has a part in: the network that trained itself, at a threshold that is fixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from morula.core.errors import UsageError
from morula.core.types import Array, Record
from morula.engine import Run, Weights
from morula.tasks.neurons.finetune import has_affinities
from morula.tasks.neurons.segmenter import save_segmenter, segmenter_of
from morula.tasks.neurons.self_training import untuned
from morula.tasks.neurons.settings import Decode, Network, SelfTraining
from morula.tasks.neurons.story import keep_section
from morula.tasks.neurons.unlabelled import Unlabelled, unlabelled_of

__all__ = ["learn_alone"]

_SHOWN = (16, 512, 512)  # voxels around the middle


def learn_alone(
    run: Run,
    records: Sequence[Record],
    start: Callable[[Unlabelled], Weights | None],
    network: Network,
    settings: SelfTraining | None,
    decode: Decode,
) -> None:
    """Fills the run's `model` folder without a label: nothing is tuned and nothing is measured.

    Args:
        run: finished stages are skipped.
        records: the volumes; their labels, if any, are not read.
        start: pre-trains on the volumes, self-training included, or reads weights that did so.
        network: settings of the network.
        settings: of the self-training; None where the weights are given.
        decode: of the decoder.

    Raises:
        UsageError: the start has not learned which voxels belong together.
        DataError: the voxels of one volume are cubes and those of another are not.
    """
    if settings is not None and not settings.steps:
        raise _needs_labels("this preset learns what a neuron is from a labelled block alone")
    volumes = unlabelled_of(records, network)
    weights = start(volumes)
    isotropic = volumes.isotropic
    if weights is None or not has_affinities(weights, network, isotropic=isotropic):
        raise _needs_labels("the weights do not tell which voxels belong together")
    decoder = untuned(decode, isotropic=isotropic)
    stage = run.stage("untuned", decode=decode.model_dump(mode="json"))
    if stage.done:
        return
    save_segmenter(run.path / "model", weights, network, decoder, decode, isotropic=isotropic)
    segmenter = segmenter_of(weights, network, decoder, decode, run.fabric, isotropic=isotropic)
    image = volumes.images[0]
    box = _middle(image)
    affinities = segmenter.within(image, box)
    keep_section(stage, image[box], affinities, decoder(affinities).labels)
    stage.finish(threshold=decoder.threshold)


def _needs_labels(found: str) -> UsageError:
    return UsageError(
        "--labels", found, "label a block and name it with --labels, or take a preset that trains itself"
    )


def _middle(image: Array) -> tuple[slice, ...]:
    starts = [max(0, (size - shown) // 2) for size, shown in zip(image.shape, _SHOWN, strict=True)]
    return tuple(slice(start, start + shown) for start, shown in zip(starts, _SHOWN, strict=True))
