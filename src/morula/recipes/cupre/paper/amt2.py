"""Alternate multi-task pre-training: one step on cells without labels, one on natural images with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN

from morula.core.rng import Rng
from morula.engine import TrainState, spread, update
from morula.losses import info_nce
from morula.nets import mask_rcnn, use_domain
from morula.recipes.cupre.paper.config import PaperConfig
from morula.recipes.cupre.paper.images import Scenes
from morula.recipes.cupre.paper.views import Views
from morula.ssl import KeyQueue, MomentumEncoder, Projection

__all__ = ["CELLS", "NATURAL", "Amt2", "Encoder", "detection_loss", "detector_of"]

CELLS, NATURAL = 0, 1
"""Domains of the running statistics."""

_DEEPEST = "3"  # name of the last maps of the backbone
_CLIP = 5.0  # largest norm of the gradients of step B


class Encoder(nn.Module):
    """The backbone of a detector, with a projection on top; the parameters of the first are shared.

    Args:
        network: the detector.
        dim: of the points.
    """

    def __init__(self, network: MaskRCNN, dim: int) -> None:
        super().__init__()
        backbone: Any = network.backbone
        self.body: nn.Module = backbone.body
        self.projection = Projection(backbone.fpn.inner_blocks[-1][0].in_channels, dim)

    def forward(self, image: Tensor) -> Tensor:
        """Points `(b, dim)` of images `(b, 3, y, x)`."""
        return self.projection(self.body(image)[_DEEPEST])


class Amt2:
    """A detector (backbone theta, neck psi, heads omega) and what step A needs beside it.

        A   L_con(theta, phi) on two views of cells     changes backbone and projection phi
        B   L_det(theta, psi, omega) on natural images  changes backbone, neck and heads

    Each step has an optimiser of its own, so that the momentum of one does not leak into the other, and
    running statistics of its own. Beside them stands what they are compared with:

        sum   L_con + L_det in one step of one optimiser        changes all of these

    Args:
        fabric: where to train.
        config: of the recipe.
        network: the detector to start from.
        rng: where the queue starts; weights come from the state of torch.

    Attributes:
        network: the detector.
        encoder: backbone and projection.
        keys: slow copy of the encoder.
        queue: past keys.
        state: all that changes.

    Source: Liao et al., "CUPre", arXiv 2310.03981, abstract; He et al., CVPR 2020, for step A.
    """

    def __init__(self, fabric: Fabric, config: PaperConfig, network: MaskRCNN, rng: Rng) -> None:
        self._fabric, self._config, self.network = fabric, config, network
        self.encoder = Encoder(self.network, config.dim)
        use_domain(self.encoder, CELLS)
        self.keys = MomentumEncoder(self.encoder, config.parts).to(fabric.device)
        self.queue = KeyQueue(config.queue, config.dim, rng).to(fabric.device)
        self._contrast = _sgd(self.encoder)
        self._detect = _sgd(self.network)
        self._query, self._contrast = fabric.setup(self.encoder, self._contrast)
        self._detector, self._detect = fabric.setup(self.network, self._detect)
        all_of_it = nn.ModuleList([self.network, self.encoder.projection])
        self._both: Any = fabric.setup_optimizers(_sgd(all_of_it))
        self.state = TrainState(
            network=self.network, projection=self.encoder.projection, keys=self.keys, queue=self.queue,
            contrast=self._contrast, detect=self._detect, both=self._both,
        )  # fmt: skip
        self.network.train()

    def step_a(self, views: Views, lr: float) -> Tensor:
        """Momentum contrast on cells: changes backbone and projection, pushes the keys; returns the loss."""
        loss, key = self._contrast_loss(views)
        update(self._fabric, self._contrast, loss, lr=lr)
        self.queue.push(key, views.images.to(self._fabric.device))
        return loss.detach()

    def step_b(self, scenes: Scenes, lr: float) -> Tensor:
        """Instance segmentation of natural images: changes the whole detector; returns the loss."""
        loss = self._detection_loss(scenes)
        update(self._fabric, self._detect, loss, lr=lr, clip=_CLIP)
        return loss.detach()

    def step_sum(self, views: Views, scenes: Scenes, lr: float) -> tuple[Tensor, Tensor]:
        """Both at once, the control of the alternation: one step for the sum; returns the two losses."""
        contrast, key = self._contrast_loss(views)
        detect = self._detection_loss(scenes)
        update(self._fabric, self._both, contrast + detect, lr=lr, clip=_CLIP)
        self.queue.push(key, views.images.to(self._fabric.device))
        return contrast.detach(), detect.detach()

    def _contrast_loss(self, views: Views) -> tuple[Tensor, Tensor]:
        """Loss of step A and the keys; the slow encoder follows first."""
        device = self._fabric.device
        use_domain(self.network, CELLS)
        self.keys.follow(self.encoder, self._config.momentum)
        query = self._query(views.query.to(device))
        key = self.keys(views.key.to(device), views.order.to(device), self._encode)
        self._even_out()
        same = self.queue.same(views.images.to(device))
        return info_nce(query, key, self.queue.keys.clone(), self._config.temperature, same), key

    def _detection_loss(self, scenes: Scenes) -> Tensor:
        """Loss of step B."""
        use_domain(self.network, NATURAL)
        return detection_loss(self._detector, scenes, self._fabric.device)

    def _encode(self, encoder: Callable[[Tensor], Tensor], parts: Sequence[Tensor]) -> list[Tensor]:
        """Keys of all parts, each part by one process."""
        found = spread(self._fabric, lambda part: encoder(part).cpu(), parts)
        return [keys.to(self._fabric.device) for keys in found]

    def _even_out(self) -> None:
        """Running statistics of the keys, which nobody reads, become the mean of those of all processes."""
        for buffer in self.keys.buffers():
            mean: Any = self._fabric.all_reduce(buffer, reduce_op="mean")
            buffer.copy_(mean)


def detector_of(config: PaperConfig, classes: int = 2) -> MaskRCNN:
    """The detector that the config describes, with random weights.

    Args:
        config: of the recipe.
        classes: with background.
    """
    return mask_rcnn(
        config.backbone, classes, detections=config.detections, regions=config.regions, width=config.width,
        layout=config.layout, cascade=config.cascade,
    )  # fmt: skip


def detection_loss(network: nn.Module, scenes: Scenes, device: torch.device) -> Tensor:
    """The losses of Mask R-CNN, five of them or nine of a cascade, together, each with weight 1."""
    images = [image.to(device) for image in scenes.images]
    targets = [{name: value.to(device) for name, value in target.items()} for target in scenes.targets]
    losses: dict[str, Tensor] = network(images, targets)
    return torch.stack([*losses.values()]).sum()


def _sgd(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
