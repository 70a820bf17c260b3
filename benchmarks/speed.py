"""What bf16 autocast and channels_last give on this machine: seconds per training step of recipe psm's U-Net.

python benchmarks/speed.py
"""

from __future__ import annotations

import itertools
import time

import numpy as np
import torch
from torch import nn

from morula.core.rng import Rng
from morula.engine import launch, seeded, update
from morula.nets import UNet2d

BATCH, CROP, REPEATS = 8, 192, 7


def main() -> None:
    """Prints the median and the range over the repeats, after two steps that are not counted."""
    print("| precision | memory format | median s/step | min to max |\n|---|---|---|---|")
    for precision, channels_last in itertools.product(("32-true", "bf16-mixed"), (False, True)):
        seconds = steps(precision, channels_last)
        layout = "channels_last" if channels_last else "contiguous"
        low, middle, high = np.quantile(seconds, [0, 0.5, 1])
        print(f"| {precision} | {layout} | {middle:.3f} | {low:.3f} to {high:.3f} |")


def steps(precision: str, channels_last: bool) -> list[float]:
    """Seconds of each counted step."""
    fabric = launch("cpu", precision)  # type: ignore[arg-type]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    with seeded(Rng(0, "speed")):
        network = UNet2d(4, 2).to(memory_format=layout)
        image = torch.randn(BATCH, 4, CROP, CROP).to(memory_format=layout)
    model, optimiser = fabric.setup(network, torch.optim.AdamW(network.parameters(), lr=1e-3))
    seconds: list[float] = []
    for _ in range(REPEATS + 2):
        began = time.perf_counter()
        update(fabric, optimiser, nn.functional.mse_loss(model(image), torch.zeros(1)))
        seconds.append(time.perf_counter() - began)
    return seconds[2:]


if __name__ == "__main__":
    main()
