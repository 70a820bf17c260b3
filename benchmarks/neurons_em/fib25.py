"""What all rows of the table share: the volume and its parts, the labelled blocks, the scores, the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morula.core.affinities import Affinities
from morula.core.types import Array, Voxel
from morula.data import load_volumes, read_labels
from morula.data.affinities import read_affinities
from morula.engine import Weights, read_json, stopwatch
from morula.metrics import neuron_scores
from morula.tasks import neurons

__all__ = ["EDGE", "Fib25", "opened", "problem_of", "references", "untuned_segmenter"]

STEM = "em_fib25_neurons/open/fib25_training2"
VOXEL = Voxel(z=10.0, y=10.0, x=10.0)
TRAIN, VALIDATION, TEST = slice(0, 60), slice(60, 90), slice(90, 120)
EDGE: Mapping[int, int] = {10: 79, 25: 125, 100: 250}
"""Width and height, in voxels, of the labelled box by percent of the training part."""


@dataclass(frozen=True, eq=False)
class Fib25:
    """Grey values, true labels, and the two segmentations that come with them, each `(z, y, x)`."""

    image: Array
    labels: Array
    fragments: Array
    ffn: Array

    def problem(self, network: neurons.Network, share: int) -> neurons.Problem:
        """The volume with this percent of the training part labelled; the same validation part for all."""
        small = box(TRAIN, EDGE[share])
        train = neurons.Part(small, self.labels[small])
        kept = neurons.Part(box(VALIDATION), neurons.parted(self.labels[VALIDATION]))
        return problem_of("fib25", neurons.Block(self.image, train, kept), VOXEL, network)

    def judged(self, run: Path, decode: neurons.Decode, fabric: Any) -> dict[str, Any]:
        """Scores of the test part at the validation threshold and at the best one, and what they took.

        Args:
            run: a finished one; its affinities of the validation part are read, not predicted again.
            decode: the decoder, of which all but the threshold is settled.
            fabric: where the network runs.
        """
        folder = next(run.glob("*-tune"))
        tuned, known = read_json(folder / "done.json"), read_affinities(folder / "affinities.h5")
        segmenter = neurons.load_segmenter(run / "model", fabric)
        return _scored(segmenter, tuned["threshold"], tuned["curve"], known, decode, self, fabric) | {
            "taken": tuned["taken"]
        }

    def judged_without_labels(
        self, weights: Weights, problem: neurons.Problem, decode: neurons.Decode, fabric: Any
    ) -> dict[str, Any]:
        """The same for a network that no label has taught, at the threshold that no label has tuned."""
        segmenter = untuned_segmenter(weights, problem, decode, fabric)
        part, decoder = problem.block.validation, segmenter.decoder
        known = segmenter.within(self.image, part.box)
        _, curve = neurons.tune(decoder, known, part.labels, decode.thresholds)
        return _scored(segmenter, decoder.threshold, curve, known, decode, self, fabric)


def problem_of(name: str, block: neurons.Block, voxel: Voxel, network: neurons.Network) -> neurons.Problem:
    """What is to be segmented in a volume of this voxel size, labelled in these parts."""
    isotropic = neurons.is_isotropic(network, voxel)
    return neurons.Problem(name, block, isotropic, neurons.offsets_of(network, isotropic=isotropic), network)


def untuned_segmenter(
    weights: Weights, problem: neurons.Problem, decode: neurons.Decode, fabric: Any
) -> neurons.Segmenter:
    """A network that no label has taught, with the threshold that no label has tuned."""
    decoder = neurons.untuned(decode, isotropic=problem.isotropic)
    return neurons.segmenter_of(
        weights, problem.network, decoder, decode, fabric, isotropic=problem.isotropic
    )


def opened(data: Path) -> Fib25:
    """All of the data.

    Args:
        data: the folder of all sets.
    """
    (record,), _ = load_volumes(Path(f"{data / STEM}_raw.tif"), voxel=VOXEL)
    names = ("neurons", "neuroproof_oversegmentation", "ffn_prediction")
    return Fib25(
        neurons.grey(record.image), *(read_labels(Path(f"{data / STEM}_{each}.tif")) for each in names)
    )


def box(sections: slice, edge: int = EDGE[100]) -> tuple[slice, ...]:
    """The middle of these sections."""
    first = (EDGE[100] - edge) // 2
    return sections, slice(first, first + edge), slice(first, first + edge)


def _scored(
    segmenter: neurons.Segmenter,
    threshold: float,
    validation: Sequence[dict[str, float]],
    known: Affinities,
    decode: neurons.Decode,
    volume: Fib25,
    fabric: Any,
) -> dict[str, Any]:
    clock = stopwatch(fabric.device)
    times = [clock()]
    maps = segmenter.within(volume.image, box(TEST))
    times.append(clock())
    truth = neurons.parted(volume.labels[TEST])
    _, curve = neurons.tune(segmenter.decoder, maps, truth, decode.thresholds)
    times.append(clock())
    joined = given(known, maps, volume, decode)
    times.append(clock())
    parts = zip(("predict", "decode", "given_fragments"), times, times[1:], strict=False)
    return {
        "threshold": threshold,
        "validation": neurons.lowest(validation),
        "test": min(curve, key=lambda row: abs(row["threshold"] - threshold)),
        "oracle": neurons.lowest(curve),
        "given_fragments": joined,
        "seconds": {name: round(end - start, 2) for name, start, end in parts},
    }


def given(known: Affinities, maps: Affinities, volume: Fib25, decode: neurons.Decode) -> dict[str, float]:
    """NeuroProof's fragments joined by the same affinities, with a threshold from the validation part."""
    validation, test = (
        neurons.curve(
            neurons.parted(volume.fragments[part]),
            affinities,
            decode.linkage,
            neurons.parted(volume.labels[part]),
            decode.thresholds,
        )
        for part, affinities in ((VALIDATION, known), (TEST, maps))
    )
    best = neurons.lowest(validation)["threshold"]
    return next(row for row in test if row["threshold"] == best)


def references(volume: Fib25) -> dict[str, dict[str, float]]:
    """Scores of the segmentations that come with the data, on the test part.

    What leaves the part and comes back is two in them, as in the truth.
    """
    truth = neurons.parted(volume.labels[TEST])
    given = {"over-segmentation as given": volume.fragments, "FFN prediction as given": volume.ffn}
    return {name: neuron_scores(neurons.parted(array[TEST]), truth) for name, array in given.items()}
