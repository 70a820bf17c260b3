"""Training, runs and weights on torch and Lightning Fabric: plumbing that all recipes share."""

from morula.engine.clock import hardware, steps_within, stopwatch
from morula.engine.launch import Precision, cores, launch, seeded
from morula.engine.log import progress, read_metrics
from morula.engine.loop import fit
from morula.engine.optim import cosine, ema_, update
from morula.engine.ranks import launch_ranks, once, spread, surviving
from morula.engine.run import Existing, Run, Stage, read_json
from morula.engine.state import Stateful, TrainState
from morula.engine.weights import LoadReport, Weights, WeightsInfo, read_tensors, weights_file

__all__ = [
    "Existing",
    "LoadReport",
    "Precision",
    "Run",
    "Stage",
    "Stateful",
    "TrainState",
    "Weights",
    "WeightsInfo",
    "cores",
    "cosine",
    "ema_",
    "fit",
    "hardware",
    "launch",
    "launch_ranks",
    "once",
    "progress",
    "read_json",
    "read_metrics",
    "read_tensors",
    "seeded",
    "spread",
    "steps_within",
    "stopwatch",
    "surviving",
    "update",
    "weights_file",
]
