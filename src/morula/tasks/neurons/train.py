"""What every recipe for neurons does around its own pre-training, with a labelled block and without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from morula.core.errors import UsageError
from morula.core.types import Record
from morula.engine import Run, Weights
from morula.tasks.neurons.alone import learn_alone
from morula.tasks.neurons.learn import learn, problem_of
from morula.tasks.neurons.settings import Decode, Finetune, Network, SelfTraining, laid
from morula.tasks.neurons.unlabelled import Unlabelled, given_weights

__all__ = ["train"]


def train(
    run: Run,
    records: Sequence[Record],
    pretrain: Callable[[Unlabelled], Weights | None],
    *,
    weights: str,
    network: Network,
    self_training: SelfTraining,
    finetune: Finetune,
    decode: Decode,
) -> None:
    """Pre-trains or takes given weights, then learns from the labels, if any, and leaves a model.

    Args:
        run: finished stages are skipped.
        records: one volume and its labelled block, or volumes without labels.
        pretrain: what the recipe does without labels, self-training included; None where it does nothing.
        weights: run or file that takes the place of `pretrain`; empty for none.
        network: settings of the network.
        self_training: what `pretrain` does of it.
        finetune: of the training with labels.
        decode: of the decoder.

    Raises:
        UsageError: labels are missing where nothing else says what a neuron is, weights do not fit, or the
            loss is not one of these offsets.
        DataError: the volume or the labelled block cannot be used.
    """

    def start(volumes: Unlabelled) -> Weights | None:
        return given_weights(run, Path(weights), volumes) if weights else pretrain(volumes)

    if finetune.loss == "malis" and network.offsets != "nearest":
        found = f"malis, which takes affinities to direct neighbours alone, with {network.offsets} offsets"
        raise UsageError("finetune.loss", found, "add --set network.offsets=nearest, or choose bce or mse")
    decode = laid(decode, network, finetune)
    if any(record.is_labelled for record in records):
        problem = problem_of(records, network, finetune)
        learn(run, problem, start(problem.unlabelled), finetune, decode)
    else:
        learn_alone(run, records, start, network, None if weights else self_training, decode)
