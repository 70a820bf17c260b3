"""A vision transformer on a window of slices gives what the 2D one gives for the middle slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from morula.engine import Weights, WeightsInfo
from morula.nets import Inflation, SliceViT, UPerHead, dino_name, fitting

_SIZES: dict[str, Any] = {"img_size": 32, "embed_dim": 24, "depth": 4, "num_heads": 2, "num_classes": 0}


def _dino() -> Any:
    return timm.models.VisionTransformer(patch_size=8, **_SIZES)


def _dinov2() -> Any:
    return timm.models.VisionTransformer(**{**_SIZES, "img_size": 56}, patch_size=14, init_values=0.5)


def _registers() -> Any:
    sizes = {**_SIZES, "img_size": 56}
    return timm.models.VisionTransformer(
        **sizes, patch_size=14, init_values=0.5, reg_tokens=4, no_embed_class=True
    )


@pytest.fixture(params=[_dino, _dinov2, _registers])
def vit(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    made = request.param().eval()
    torch.nn.init.normal_(made.pos_embed)
    torch.nn.init.normal_(made.cls_token)
    return made


def _flat(vit: Any, image: Tensor) -> Tensor:
    """The last tokens of the patches, as timm computes them."""
    tokens = vit.forward_features(image.expand(-1, 3, -1, -1))
    return tokens[:, vit.num_prefix_tokens :]


@torch.no_grad()
@pytest.mark.parametrize("how", ["center", "average"])
def test_the_middle_slice_gives_the_2d_features(vit: Any, how: Inflation) -> None:
    edge = vit.patch_embed.img_size[0]
    window = torch.randn(2, 1, 5, edge, edge)
    if how == "average":
        window = window[:, :, 2:3].expand(-1, -1, 5, -1, -1)
    (found,) = SliceViT(vit, 5, how, taps=(3,))(window)
    wanted = _flat(vit, window[:, :, 2])
    assert torch.allclose(found.flatten(2).transpose(1, 2), wanted, atol=1e-5)


@torch.no_grad()
def test_average_blurs_along_z_where_slices_differ() -> None:
    vit = _dino().eval()
    window = torch.randn(1, 1, 5, 32, 32)
    (found,) = SliceViT(vit, 5, "average", taps=(3,))(window)
    assert not torch.allclose(found.flatten(2).transpose(1, 2), _flat(vit, window[:, :, 2]), atol=1e-2)


def _own_keys(vit: Any, prefix: str) -> dict[str, Tensor]:
    """A checkpoint as DINO writes it: the teacher with its head, every name behind wrappers."""
    tensors = {f"{prefix}{name}": value.clone() for name, value in vit.state_dict().items()}
    return tensors | {f"{prefix.replace('backbone.', '')}head.mlp.0.weight": torch.ones(3, 3)}


@torch.no_grad()
def test_weights_in_dinos_own_layout_load_with_the_class_token_first(tmp_path: Path) -> None:
    torch.manual_seed(1)
    teacher = _dino().eval()
    torch.nn.init.normal_(teacher.pos_embed)
    weights = Weights(_own_keys(teacher, "module.backbone."), WeightsInfo("dino", kind="encoder"))
    weights.save(tmp_path / "dino.safetensors")
    student = SliceViT(_dino(), 5, "center", taps=(3,)).eval()
    told = Weights.load(tmp_path / "dino.safetensors").load_into(
        student, rename=dino_name, inflate=fitting("center")
    )
    assert told.missing == ()
    assert told.skipped == ("module.head.mlp.0.weight",)
    assert told.inflated == ("patch_embed.proj.weight",)
    assert torch.equal(student.pos_embed, teacher.pos_embed)
    window = torch.randn(1, 1, 5, 32, 32)
    (found,) = student(window)
    assert torch.allclose(found.flatten(2).transpose(1, 2), _flat(teacher, window[:, :, 2]), atol=1e-5)


def test_positions_follow_another_size_of_image() -> None:
    network = SliceViT(_dino(), 5, "center", taps=(1, 3))
    first, last = network(torch.randn(1, 1, 5, 40, 64))
    assert first.shape == last.shape == (1, 24, 5, 8)


def test_a_window_needs_a_middle() -> None:
    with pytest.raises(ValueError, match="odd"):
        SliceViT(_dino(), 4)


def test_the_head_gives_a_map_of_full_size_from_all_four() -> None:
    torch.manual_seed(0)
    head = UPerHead(24, 16, patch=8)
    maps = [torch.randn(2, 24, 4, 6, requires_grad=True) for _ in range(4)]
    logits = head(maps)
    assert logits.shape == (2, 1, 32, 48)
    logits.square().mean().backward()
    assert all(each.grad is not None and each.grad.any() for each in maps)
