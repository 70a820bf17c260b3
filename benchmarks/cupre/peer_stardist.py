"""StarDist on an exchange folder, run by peers.py in an environment of its own.

Its own defaults: 32 rays on a grid of 2, patches of 256 pixels in batches of 4, Adam with rate .0003, turns,
mirrors and intensity as in its examples. Thresholds are tuned on the images that it learned from, for there
are no others with labels.
"""

from __future__ import annotations

import tempfile
import time

import numpy as np
import tensorflow as tf
from csbdeep.utils import normalize
from exchange import Exchange, asked, within
from stardist.models import Config2D, StarDist2D

PATCH = 256


def main() -> None:
    """Trains for the time that is given, and answers."""
    options = asked(__doc__)
    folder = Exchange(options.folder)
    pairs = [(seen(image), labels) for image, labels in folder.train()]
    with tempfile.TemporaryDirectory() as scratch:
        steps = options.steps or within(
            options.minutes, lambda count: fitted(pairs, count, options.seed, scratch)
        )
        began = time.process_time()
        model = fitted(pairs, steps, options.seed, scratch)
        model.optimize_thresholds([image for image, _ in pairs], [labels for _, labels in pairs])
    trained = time.process_time()
    labels: dict[str, np.ndarray] = {}
    scores: dict[str, list[float]] = {}
    for name, image in folder.test().items():
        labels[name], details = model.predict_instances(seen(image))
        kept = np.unique(labels[name][labels[name] > 0])  # an object may lie wholly under others
        labels[name] = np.searchsorted(kept, labels[name]) + (labels[name] > 0)
        scores[name] = list(np.asarray(details["prob"])[kept - 1])
    done = time.process_time()
    times = {"steps": steps, "train": trained - began, "predict": (done - trained) / max(1, len(labels))}
    folder.answer(labels, scores, times)


def seen(image: np.ndarray) -> np.ndarray:
    """Three colours between the percentiles 1 and 99.8."""
    return normalize(
        np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3], 1, 99.8, axis=(0, 1, 2)
    )


def fitted(pairs: list[tuple[np.ndarray, np.ndarray]], steps: int, seed: int, folder: str) -> StarDist2D:
    """A network that saw so many batches of 4 patches."""
    tf.keras.utils.set_random_seed(seed)
    images, labels = ([pair[side] for pair in pairs] for side in (0, 1))
    patch = min(PATCH, *(edge // 16 * 16 for each in labels for edge in each.shape))
    config = Config2D(
        n_rays=32, grid=(2, 2), n_channel_in=3, train_patch_size=(patch, patch), train_epochs=1,
        train_steps_per_epoch=steps, train_tensorboard=False, use_gpu=False,
    )  # fmt: skip
    model = StarDist2D(config, name=f"{steps}", basedir=folder)
    model.train(images, labels, validation_data=(images, labels), augmenter=varied, seed=seed)
    return model


def varied(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turns, mirrors, gain, offset and noise."""
    turns, mirror = np.random.randint(4), np.random.randint(2)  # noqa: NPY002 (StarDist seeds this generator)
    image, labels = np.rot90(image, turns), np.rot90(labels, turns)
    if mirror:
        image, labels = image[:, ::-1], labels[:, ::-1]
    gain, offset, noise = np.random.uniform(0.6, 2), np.random.uniform(-0.2, 0.2), np.random.uniform(0, 0.02)  # noqa: NPY002
    return image * gain + offset + noise * np.random.normal(size=image.shape), labels  # noqa: NPY002


if __name__ == "__main__":
    main()
