"""Whether a network for stacks gives for their slices what its 2D original gave for images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

__all__ = ["RefusedError", "Trial", "told_of"]

_SMALL, _LARGE = 64, 224  # pixels along an edge; large for those that small images are too small for
_Size = tuple[int, int]
_FIX = "if it comes after the features, leave it out (torchvision's .features, timm's features_only=True)"


class RefusedError(ValueError):
    """A module is not right.

    Attributes:
        name: of the module inside its network, empty for the network.
    """

    def __init__(self, name: str, module: nn.Module, wrong: str) -> None:
        super().__init__(f"{told_of(name, module)} {wrong}; {_FIX}")
        self.name = name


class Trial:
    """What a 2D network and all its modules give for a few grey images, in evaluation mode.

    Args:
        flat: the network; left as it is.
        first: its first convolution.
        equal: whether the images are equal.

    Raises:
        RefusedError: a module, which is named, fails for small images and for larger ones, of the size that
            the network says it is for, or gives for an image what depends on those beside it.
    """

    def __init__(self, flat: nn.Module, first: nn.Conv2d, *, equal: bool) -> None:
        self._flat = flat
        try:
            images, wanted = _tried(flat, first, (_SMALL, _SMALL))
        except RefusedError:
            images, wanted = _tried(flat, first, _own_size(flat))
        if equal:
            images = images[:1].repeat(3, 1, 1, 1)
            wanted = _features(flat, images.repeat(1, first.in_channels, 1, 1), flat)
        self._images, self._wanted = images, wanted

    def compare(self, deep: nn.Module, channels: int) -> None:
        """Compares what a network of the same module names gives for the stack of these images.

        Args:
            deep: for stacks `(b, channels, z, y, x)`.
            channels: each of which gets the grey values.

        Raises:
            RefusedError: a module, the innermost one, fails or gives anything else.
        """
        stack = self._images.repeat(1, channels, 1, 1).transpose(0, 1)[None]
        found = _features(deep, stack, self._flat)
        for name, images in self._wanted.items():
            stacks = found.get(name, [])
            if len(images) != len(stacks) or not all(map(_agree, images, stacks)):
                module = self._flat.get_submodule(name)
                raise RefusedError(name, module, "does not give for slices what it gives for images")


def _own_size(flat: nn.Module) -> _Size:
    """Height and width that the patches of a timm transformer are for; others take any that is large."""
    sizes = (getattr(module, "img_size", None) for module in flat.modules())
    return next((size for size in sizes if isinstance(size, tuple)), (_LARGE, _LARGE))


def _tried(flat: nn.Module, first: nn.Conv2d, size: _Size) -> tuple[Tensor, dict[str, list[Tensor]]]:
    """Random images, and what all modules give for them, whether together or alone."""
    random = torch.Generator().manual_seed(0)
    images = torch.rand((3, 1, *size), generator=random).to(first.weight)
    colours = images.repeat(1, first.in_channels, 1, 1)
    wanted, alone = _features(flat, colours, flat), _features(flat, colours[:1], flat)
    for name, together in wanted.items():
        if not all(_agree(ours[: len(one)], one) for ours, one in zip(together, alone[name], strict=True)):
            module = flat.get_submodule(name)
            raise RefusedError(name, module, "gives for an image what depends on those beside it")
    return images, wanted


def told_of(name: str, module: nn.Module) -> str:
    """A module as an error names it."""
    return f"{name or 'the network'} ({type(module).__name__})"


def _agree(images: Tensor, stack: Tensor) -> bool:
    slices = stack if stack.ndim == images.ndim else stack[0].transpose(0, 1)
    most = torch.finfo(images.dtype).eps ** 0.5 * images.abs().max()
    return slices.shape == images.shape and bool((slices - images).abs().max() <= most)


@torch.no_grad()
def _features(network: nn.Module, image: Tensor, flat: nn.Module) -> dict[str, list[Tensor]]:
    """What every module gives when it is called first, by its name; innermost modules come first.

    A module that fails is told of as the one of `flat`.
    """
    names = {module: name for name, module in network.named_modules()}
    modes = {module: module.training for module in names}
    features: dict[str, list[Tensor]] = {}
    running: list[nn.Module] = []

    def begin(module: nn.Module, _: Any) -> None:
        if module in names:
            running.append(module)

    def end(module: nn.Module, _: Any, given: Any) -> None:
        if module in names:
            running.pop()
            listed = [given] if isinstance(given, Tensor) else given
            listed = listed.values() if isinstance(listed, dict) else listed
            features.setdefault(names[module], [each.clone() for each in listed if isinstance(each, Tensor)])

    handles = [register_module_forward_pre_hook(begin), register_module_forward_hook(end)]
    try:
        network.eval()(image)
    except Exception as error:
        size = " x ".join(map(str, image.shape))
        name = names[running[-1]]
        wrong = f"fails when the network is given {size}: {error}"
        raise RefusedError(name, flat.get_submodule(name), wrong) from error
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return features
