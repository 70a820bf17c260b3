"""What the recipe teaches: labels from a trace, crops of them, losses, and weights from natural images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi
from torch import Tensor

from morula.core.config import override
from morula.core.errors import DataError, UsageError
from morula.core.rng import Rng
from morula.core.tree import Tree
from morula.data import draw_tree
from morula.nets import InflatedUNet3d
from morula.recipes.vit3d.config import presets
from morula.recipes.vit3d.crops import Crops
from morula.recipes.vit3d.losses import dice_focal, line_recall, tube_loss
from morula.recipes.vit3d.network import network_of
from morula.recipes.vit3d.predict import probability
from morula.recipes.vit3d.pretrained import load_convnet
from morula.recipes.vit3d.stacks import grey, taught
from morula.recipes.vit3d.threshold import thresholded
from synthetic import traced_stack


def test_a_shifted_trace_is_moved_before_it_is_drawn() -> None:
    image, tree = traced_stack(0)
    found = taught("a", image, tree.moved((0, 2, -1)))
    assert found.alignment.shift == (0, -2, 1)
    assert np.abs(found.tree.points - tree.points).max() < 1e-9
    assert found.mask[tuple(np.round(tree.points[1]).astype(int))]


def test_what_goes_on_beyond_the_root_is_unknown_and_a_neighbour_is_background() -> None:
    line = Tree.of([[5, 20, 0], [5, 20, 63]], [-1, 0], 1.5)
    other = Tree.of([[5, 42, 0], [5, 42, 63]], [-1, 0], 1.5)
    image = (200 * (draw_tree(line, (10, 48, 64)) | draw_tree(other, (10, 48, 64)))).astype(np.uint8)
    found = taught("a", image, Tree.of([[5, 20, 30], [5, 20, 63]], [-1, 0], 1.5))
    assert found.mask[5, 20, 50] == 1
    assert found.mask[5, 20, 10] == 0
    assert not found.known[5, 20, 10]
    assert found.known[5, 42, 10]
    assert found.known[5, 5, 10]


@pytest.mark.parametrize("radius", [5.0, 12.0])
def test_a_thick_part_of_the_neuron_is_never_background(radius: float) -> None:
    """A cell body in the middle of a neurite, some of it dark, as where the trace's radius is too large."""
    tree = Tree.of([[16, 32, x] for x in range(4, 92, 4)], np.arange(22) - 1, 2.0)
    tree.radius[10] = radius
    shape = (33, 64, 96)
    true = draw_tree(tree, shape)
    image = (200 * true).astype(np.uint8)
    image[:14] = 0
    found = taught("a", image, tree)
    known, neuron = found.known, found.mask > 0
    assert not (true & known & ~neuron).any()
    inside = ndi.binary_erosion(true & (image > 0), iterations=2)
    dark = true & ~ndi.binary_dilation(image > 0, iterations=3)
    assert neuron[inside].mean() > (0.99 if radius > 6 else 0.5)
    assert not neuron[dark].any()
    assert known.mean() > 0.9


def test_grey_values_lie_between_background_and_white() -> None:
    image = np.full((4, 50, 50), 10, np.uint16)
    image[2, 20:30, 20:30] = 4000
    shown = grey(image)
    assert shown[0, 0, 0] == 0
    assert shown.max() == 1
    assert grey(np.zeros((2, 4, 4), np.uint8)).max() == 0


def test_specks_of_a_stack_without_background_stay_dark() -> None:
    """So few voxels are no background that the brightest two thousandth is background, too."""
    image = np.zeros((10, 100, 100), np.uint8)
    image[5, 50, 40:60] = 200
    image[2, ::20, ::25] = 1
    shown = grey(image)
    assert np.unique(shown).tolist() == pytest.approx([0, (1 / 200) ** 0.5, 1])
    assert (shown[5, 50, 40:60] == 1).all()


@pytest.fixture(scope="module")
def crops() -> Crops:
    stacks = [taught(str(seed), *traced_stack(seed)) for seed in (0, 1)]
    return Crops(stacks, (6, 24, 32), 4, foreground=0.75, clutter=0.5, rng=Rng(0, "crops"))


def test_crops_depend_on_their_number_alone(crops: Crops) -> None:
    first, again, other = crops(3), crops(3), crops(4)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.image, other.image)
    assert first.image.shape == (4, 1, 6, 24, 32)
    assert 0 <= float(first.image.min()) <= float(first.image.max()) <= 1


def test_labels_stay_with_their_image(crops: Crops) -> None:
    batches = [crops(index) for index in range(12)]
    image = torch.cat([batch.image for batch in batches])
    mask = torch.cat([batch.mask for batch in batches])
    line = torch.cat([batch.line for batch in batches])
    assert image[mask > 0].mean() > image[mask == 0].mean() + 0.25
    assert (mask[line > 0] > 0).float().mean() > 0.97
    assert (mask.flatten(1).sum(1) > 0).float().mean() > 0.6


def test_crops_of_background_keep_off_the_trace_where_no_background_is_bright() -> None:
    line = Tree.of([[5, 20, 4], [5, 20, 40]], [-1, 0], 1.5)
    stack = taught("a", 200.0 * draw_tree(line, (10, 40, 240)), line)
    draw = Crops([stack], (6, 16, 16), 16, foreground=0.0, clutter=0.0, rng=Rng(0, "crops"))
    assert float(draw(0).mask.amax(dim=(1, 2, 3, 4)).mean()) < 0.5


def _maps() -> tuple[Tensor, Tensor, Tensor]:
    mask = torch.zeros(1, 1, 3, 8, 8)
    mask[..., 3:6, :] = 1
    line = torch.zeros_like(mask)
    line[..., 4, :] = 1
    return mask, torch.ones_like(mask), line


@pytest.mark.parametrize("name", ["tube", "dice-focal"])
def test_a_loss_is_least_for_the_truth_and_blind_to_the_unknown(name: str) -> None:
    mask, known, line = _maps()

    def loss(logits: Tensor, known: Tensor) -> float:
        if name == "tube":
            return float(tube_loss(logits, mask, known, line, recall=0.5))
        return float(dice_focal(logits, mask, known))

    right = 20 * (mask * 2 - 1)
    assert loss(right, known) < 0.02
    assert loss(-right, known) > 0.9
    wrong = right.clone()
    wrong[..., 0, :] = 20
    assert loss(wrong, known) > loss(right, known) + 0.05
    blind = known.clone()
    blind[..., 0, :] = 0
    assert loss(wrong, blind) == pytest.approx(loss(right, blind))


def test_the_recall_of_the_centre_line_by_hand() -> None:
    line = torch.tensor([1.0, 1.0, 1.0, 0.0])
    known = torch.tensor([1.0, 1.0, 0.0, 1.0])
    found = torch.tensor([1.0, 0.5, 0.0, 1.0])
    assert float(line_recall(found, line, known)) == pytest.approx(1 - 2.5 / 3)


def test_focal_loss_by_hand() -> None:
    logits = torch.zeros(1, 1, 1, 1, 2)
    mask = torch.tensor([1.0, 0.0]).reshape(logits.shape)
    wanted = 1 - (2 * 0.5 + 1) / (1 + 1 + 1) + 0.25 * np.log(2)
    assert float(dice_focal(logits, mask, torch.ones_like(mask))) == pytest.approx(wanted)


@torch.no_grad()
@pytest.mark.parametrize("scaling", ["imagenet", "caffe"])
def test_natural_image_weights_give_what_they_gave_for_grey_pictures(scaling: str, tmp_path: Path) -> None:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    flat = squeezenet1_1(weights=None).features.eval()
    for name, each in flat.named_parameters():
        if name.endswith("bias"):
            each.normal_(0, 1.0)
    stored: dict[str, Any] = {f"features.{name}": each.numpy() for name, each in flat.named_parameters()}
    np.savez(tmp_path / "w.npz", **stored)
    network = InflatedUNet3d(widths=(4, 6, 8, 10, 12))
    told = load_convnet(network.encoder, tmp_path / "w.npz", "center", scaling)  # pyright: ignore[reportArgumentType]
    assert told.missing == told.skipped == ()
    image = torch.rand(1, 1, 96, 96)
    if scaling == "imagenet":
        mean, spread = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        given, factor = (image - mean[:, None, None]) / spread[:, None, None], 1.0
    else:
        mean = torch.tensor([103.939, 116.779, 123.68])
        given, factor = image * 255 - mean[:, None, None], 1 / 255
    first: Any = flat[0]
    first.padding = (1, 1)
    found, wanted = image[:, :, None], given
    for number, stage in enumerate(list(network.encoder.children())[:2]):
        found = stage(found)
        wanted = flat[(0, 2)[number] : (2, 5)[number]](wanted)
        inner = (
            ...,
            slice(4, -4),
            slice(4, -4),
        )  # zeros around a picture are another grey once a mean is off
        assert wanted[inner].numel() > 1000
        assert torch.allclose(found[:, :, 0][inner], wanted[inner] * factor, rtol=1e-3, atol=1e-4)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    network = InflatedUNet3d(widths=(4, 6, 8, 10, 12))
    np.savez(tmp_path / "w.npz", conv=np.zeros((3, 3)))
    with pytest.raises(DataError, match="tensors of the encoder are not in it"):
        load_convnet(network.encoder, tmp_path / "w.npz", "center")
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    for name in ("bad.npz", "missing.pth"):
        with pytest.raises(DataError, match=name):
            load_convnet(network.encoder, tmp_path / name, "center")


def test_the_published_network_maps_the_middle_slice_in_training_and_all_in_use() -> None:
    torch.manual_seed(0)
    config = presets()["paper"].model_copy(update={"vit": "test_vit", "crop": (5, 160, 160), "head": 16})
    network = network_of(config)
    volume = torch.rand(2, 1, 5, 160, 160)
    assert network.train()(volume).shape == (2, 1, 1, 160, 160)
    with torch.no_grad():
        maps = network.eval()(volume)
        alone = network(volume[:, :, :3])
    assert maps.shape == (2, 1, 5, 160, 160)
    assert torch.allclose(maps[:, :, 0], alone[:, :, 0], atol=1e-5)  # sees slices 0 to 2 alone


@pytest.mark.parametrize(("crop", "edge"), [((16, 96, 96), 192), ((5, 250, 250), 256)])
def test_tiles_are_no_smaller_than_crops(crop: tuple[int, int, int], edge: int) -> None:
    seen: list[tuple[int, ...]] = []

    class Grey(torch.nn.Module):
        def forward(self, volume: Tensor) -> Tensor:
            seen.append(tuple(volume.shape[3:]))
            return volume

    found = probability(Grey(), np.zeros((2, 300, 300), np.float32), torch.device("cpu"), crop=crop)
    assert found.shape == (2, 300, 300)
    assert set(seen) == {(edge, edge)}


def test_the_published_head_is_as_wide_as_published() -> None:
    assert [each.head for each in presets().values() if each.network == "slice-vit"] == [768]
    network: Any = network_of(presets()["paper"].model_copy(update={"vit": "test_vit", "head": 24}))
    assert network.head.fuse[0].out_channels == 24


def test_the_classical_way_finds_a_bright_line() -> None:
    image, tree = traced_stack(2)
    found = thresholded(image)
    truth = draw_tree(tree, image.shape, least=1.8)
    assert (found & truth).sum() > 0.95 * truth.sum()
    assert found.sum() < 2 * truth.sum() < 0.2 * truth.size
    assert not thresholded(np.zeros((3, 20, 20), np.uint8)).any()


def test_the_unet_is_as_deep_as_is_asked() -> None:
    flat = network_of(presets()["scratch"].model_copy(update={"depth": 1}))
    assert {each.kernel_size[0] for each in flat.modules() if isinstance(each, torch.nn.Conv3d)} == {1}
    with pytest.raises(UsageError, match="3 at most"):
        network_of(presets()["scratch"].model_copy(update={"depth": 5}))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"depth": 2}, "depth"),
        ({"depth": 11}, "depth"),
        ({"crop": [0, 64, 64]}, r"crop\.0"),
        ({"crop": [8, -1, 64]}, r"crop\.1"),
    ],
)
def test_sizes_that_no_network_can_have_are_refused(values: dict[str, Any], told: str) -> None:
    for preset in presets().values():
        with pytest.raises(UsageError, match=told):
            override(preset, values)
