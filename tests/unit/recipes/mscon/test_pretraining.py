"""That pre-training learns to restore a volume, and not to call everything grey."""

from pathlib import Path

import numpy as np
import torch
from scipy import ndimage as ndi

from morula.engine import Run, launch, read_metrics
from morula.recipes.mscon.config import MsconConfig, Pretrain
from morula.recipes.mscon.recipe import pretrain
from morula.tasks.neurons import Network, SelfTraining, Unlabelled


def test_neither_the_contrast_nor_the_distance_of_features_swamps_the_reconstruction(tmp_path: Path) -> None:
    """With weights 1, 0.1 and 0.5, as published, two thirds of the variance are left."""
    ground = ndi.gaussian_filter(np.random.default_rng(0).normal(size=(24, 40, 40)), 3)
    image = np.where(ground > np.median(ground), 0.9, 0.1).astype(np.float32)
    config = MsconConfig(
        network=Network(widths=(8, 12)),
        pretrain=Pretrain(steps=100, batch=4, crop=(16, 16, 16), pooled=4, erased=0.0, lr=5e-3),
        self_training=SelfTraining(steps=0),
    )
    run = Run.open(tmp_path, recipe="mscon", config={}, data={}, seed=0, fabric=launch("cpu", "32-true"))
    torch.set_num_threads(1)
    pretrain(run, Unlabelled((image,), True, config.network), config)
    restored = read_metrics(tmp_path / "1-pretrain" / "metrics.jsonl")["reconstruction"]
    assert np.mean(restored[-4:]) < 0.5 * image.var()
