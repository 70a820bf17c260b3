"""Cellpose 3 on an exchange folder, run by peers.py in an environment of its own.

Its own defaults: AdamW with rate .005, crops of 224 pixels, images brought to 30 pixels a cell by their
labels, test images by the mean diameter of those. Only the batches are of 2 crops, not 8: on one core such
a batch takes some twenty seconds, and a dozen steps would be all. A score is the mean cell probability.
"""

from __future__ import annotations

import tempfile
import time

import numpy as np
import scipy.ndimage as ndi
import torch
from cellpose import models, train
from exchange import Exchange, asked, within

CHANNELS = [0, 0]  # the mean over colours
BATCH = 2


def main() -> None:
    """Trains for the time that is given, and answers."""
    options = asked(__doc__)
    folder = Exchange(options.folder)
    pairs = folder.train()
    steps = options.steps or within(options.minutes, lambda count: fitted(pairs, count, options.seed))
    began = time.process_time()
    model = fitted(pairs, steps, options.seed)
    trained = time.process_time()
    labels: dict[str, np.ndarray] = {}
    scores: dict[str, list[float]] = {}
    diameter = float(model.net.diam_labels.item())
    for name, image in folder.test().items():
        masks, flows, _ = model.eval(image, channels=CHANNELS, channel_axis=-1, diameter=diameter)
        count = int(masks.max(initial=0))
        certain = 1 / (1 + np.exp(-np.clip(flows[2], -30, 30)))
        labels[name] = masks
        scores[name] = list(np.atleast_1d(ndi.mean(certain, masks, np.arange(1, count + 1)))) if count else []
    done = time.process_time()
    times = {"steps": steps, "train": trained - began, "predict": (done - trained) / max(1, len(labels))}
    folder.answer(labels, scores, times)


def fitted(pairs: list[tuple[np.ndarray, np.ndarray]], steps: int, seed: int) -> models.CellposeModel:
    """A network that saw so many batches."""
    torch.manual_seed(seed)
    model = models.CellposeModel(gpu=torch.cuda.is_available(), pretrained_model=False)
    images, labels = ([pair[side] for pair in pairs] for side in (0, 1))
    with tempfile.TemporaryDirectory() as scratch:
        train.train_seg(
            model.net, train_data=images, train_labels=labels, channels=CHANNELS, channel_axis=-1,
            n_epochs=steps, nimg_per_epoch=BATCH, batch_size=BATCH, min_train_masks=1, save_path=scratch,
        )  # fmt: skip
    return model


if __name__ == "__main__":
    main()
