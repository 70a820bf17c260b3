"""The recipe's networks: which transformers and crops they take, their weights, and how fast blocks learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from morula.core.errors import DataError, UsageError
from morula.nets import SliceViT
from morula.recipes.vit3d.config import Vit3dConfig, presets
from morula.recipes.vit3d.network import load_encoder, network_of, rates
from morula.recipes.vit3d.predict import probability
from morula.recipes.vit3d.pretrained import Scaling, load_vit

SLICES = presets()["paper"].model_copy(update={"vit": "test_vit", "crop": (5, 32, 32), "head": 16})


def small_vit(**arguments: Any) -> Any:
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 0}
    made = timm.models.VisionTransformer(**sizes, **arguments).eval()
    for each in (made.pos_embed, made.cls_token):
        nn.init.normal_(each)
    return made


def loaded(stored: Any, path: Path, scaling: Scaling = "imagenet") -> SliceViT:
    torch.save(stored.state_dict(), path / "w.pth")
    network = SliceViT(stored, 3, taps=(1,)).eval()
    for each in network.parameters():
        nn.init.constant_(each, 7)
    assert load_vit(network, path / "w.pth", "center", scaling).missing == ()
    return network


def tokens(network: SliceViT, image: Tensor) -> Tensor:
    (found,) = network(image[:, None].expand(-1, -1, 3, -1, -1))
    return found.flatten(2).transpose(1, 2)


@torch.no_grad()
@pytest.mark.parametrize(
    ("scaling", "mean", "spread"),
    [("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ("half", (0.5,) * 3, (0.5,) * 3)],
)
@pytest.mark.parametrize("clip", [False, True])
def test_a_transformers_weights_give_what_they_gave_for_scaled_images(
    scaling: Scaling, mean: tuple[float, ...], spread: tuple[float, ...], clip: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    flat = small_vit(pre_norm=clip)  # CLIP's patch embedding has no bias
    assert (flat.patch_embed.proj.bias is None) == clip
    image = torch.rand(2, 1, 32, 32)
    scaled = (image - torch.tensor(mean)[:, None, None]) / torch.tensor(spread)[:, None, None]
    wanted = flat.forward_features(scaled)[:, 1:]
    assert torch.allclose(tokens(loaded(flat, tmp_path, scaling), image), wanted, atol=1e-4)


@torch.no_grad()
def test_registers_in_timms_layout_load_though_no_position_is_the_class_tokens(tmp_path: Path) -> None:
    torch.manual_seed(0)
    flat = small_vit(reg_tokens=4, no_embed_class=True)
    assert flat.pos_embed.shape == (1, 16, 24)
    wanted = flat.forward_features(torch.zeros(1, 3, 32, 32))[:, 5:]
    grey = torch.full((1, 1, 32, 32), 0.5)  # what is zero once it is scaled
    assert torch.allclose(tokens(loaded(flat, tmp_path, "half"), grey), wanted, atol=1e-4)


def test_patches_of_no_colour_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="colour"):
        loaded(small_vit(in_chans=1), tmp_path)


def test_caffes_scaling_is_none_of_a_transformers() -> None:
    config = SLICES.model_copy(update={"weights": "w.pth", "scaling": "caffe"})
    with pytest.raises(UsageError, match="scaling"):
        load_encoder(network_of(config), config)


@pytest.mark.parametrize(
    "vit", ["test_vit2", "test_vit_relpos", "vit_tiny_r_s16_p8_224", "vit_pe_core_tiny_patch16_384"]
)
def test_transformers_that_are_not_plain_are_refused(vit: str) -> None:
    with pytest.raises(UsageError, match=f"{vit}.*plain"):
        network_of(SLICES.model_copy(update={"vit": vit}))


@pytest.mark.parametrize("preset", [presets()["best"], SLICES])
def test_crops_too_small_for_the_network_are_refused_and_the_smallest_is_learned_from(
    preset: Vit3dConfig,
) -> None:
    edge = 16 if preset.network == "inflated" else 32
    network = network_of(preset.model_copy(update={"crop": (5, edge, edge)})).train()
    assert network(torch.rand(2, 1, 5, edge, edge)).shape[3:] == (edge, edge)
    for small in (edge - 16, edge - 4):
        with pytest.raises(UsageError, match=f"of {edge} at least"):
            network_of(preset.model_copy(update={"crop": (5, edge, small)}))


@pytest.mark.parametrize("preset", [presets()["best"], SLICES])
def test_the_smallest_image_is_predicted(preset: Vit3dConfig) -> None:
    image = np.zeros((2, 16, 16), np.float32)
    assert probability(network_of(preset).eval(), image, torch.device("cpu")).shape == (2, 16, 16)


def shares(network: nn.Module, config: Vit3dConfig) -> dict[str, float]:
    groups = rates(network, config)
    told = {id(each): group["share"] for group in groups for each in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(told) == len(list(network.parameters()))
    return {name: told[id(each)] for name, each in network.named_parameters()}


def test_earlier_blocks_of_the_encoder_learn_more_slowly() -> None:
    decay = {"layer_decay": 0.5, "encoder_lr": 0.8}
    convnet = presets()["best"].model_copy(update=decay)
    found = shares(network_of(convnet), convnet)
    assert [found[f"encoder.{stage}"] for stage in ("0.0.weight", "1.1.squeeze.weight")] == [0.1, 0.2]
    assert found["out.weight"] == 1
    vit = SLICES.model_copy(update=decay)
    network = network_of(vit)
    count = len(network.get_submodule("encoder.blocks")._modules)  # pyright: ignore[reportPrivateUsage]
    found = shares(network, vit)
    assert found["encoder.norm.weight"] == found[f"encoder.blocks.{count - 1}.norm1.weight"] == 0.8
    assert found["encoder.blocks.0.norm1.weight"] == 0.8 * 0.5 ** (count - 1)
    assert found["encoder.cls_token"] == found["encoder.patch_embed.proj.weight"] == 0.8 * 0.5**count
    assert found["head.fuse.0.weight"] == 1


@pytest.mark.parametrize("preset", [presets()["best"], presets()["scratch"], SLICES])
def test_without_decay_the_encoder_is_one_part_and_the_rest_another(preset: Vit3dConfig) -> None:
    network = network_of(preset)
    groups = rates(network, preset.model_copy(update={"encoder_lr": 0.1}))
    assert [group["share"] for group in groups] == [0.1, 0.1, 1.0, 1.0]
    inside = [each for each in network.get_submodule("encoder").parameters() if each.ndim > 1]
    assert all(a is b for a, b in zip(groups[0]["params"], inside, strict=True))
