import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2

from morula.core.rng import Rng
from morula.engine import seeded
from morula.nets import DomainNorm2d, Layout, mask_rcnn, replace_predictors, use_domain
from morula.post import paste_masks


def made(classes: int = 2, detections: int = 1000) -> MaskRCNN:
    with seeded(Rng(0)):
        return mask_rcnn("resnet18", classes, detections=detections)


def certain(network: MaskRCNN) -> MaskRCNN:
    """Every anchor an object, moved by nothing: what comes out is what the suppressions let through."""
    network.eval()
    network.roi_heads.mask_head = torch.nn.Identity()  # four convolutions of each object take long
    predictor = network.roi_heads.box_predictor
    with torch.no_grad():
        for layer in (network.rpn.head.bbox_pred, predictor.bbox_pred, predictor.cls_score):
            layer.weight.zero_()
            layer.bias.zero_()
        predictor.cls_score.bias[1] = 5.0
    return network


def detect(network: MaskRCNN, size: int) -> dict[str, Tensor]:
    image = torch.from_numpy(Rng(1).at(0).random((3, size, size), dtype="float32"))
    with torch.no_grad():
        return network([image])[0]


def test_more_than_a_thousand_objects_come_out_of_one_image() -> None:
    network = certain(made(detections=1200))
    found = detect(network, 256)
    assert len(found["boxes"]) == 1200
    assert found["masks"].shape == (1200, 1, 28, 28)
    labels, drawn = paste_masks(
        found["boxes"].numpy(), np.ones((1200, 28, 28)), (256, 256), overlap=0.9, smallest=1
    )
    assert len(drawn) == labels.max() > 500


def test_the_number_of_detections_is_what_was_asked_for() -> None:
    assert len(detect(certain(made(detections=40)), 128)["boxes"]) == 40


def test_an_image_keeps_its_size() -> None:
    """A box of an image of 40 x 100 may lie anywhere in it: nothing was shrunk to one pixel, nor enlarged."""
    network = certain(made())
    with torch.no_grad():
        boxes = network([torch.rand(3, 40, 100, generator=torch.Generator().manual_seed(0))])[0]["boxes"]
    assert boxes[:, 2].max() == 100 and boxes[:, 3].max() == 40
    assert (boxes[:, 2] - boxes[:, 0]).min() < 12


@pytest.mark.parametrize("backbone", ["resnet50"])
def test_deeper_backbones_fit_the_same_pyramid(backbone: str) -> None:
    network = mask_rcnn(backbone)
    with torch.no_grad():
        maps = network.backbone(torch.zeros(1, 3, 64, 64))
    assert [tuple(level.shape[1:]) for level in maps.values()] == [
        (256, 16, 16), (256, 8, 8), (256, 4, 4), (256, 2, 2), (256, 1, 1)
    ]  # fmt: skip


def test_other_classes_change_the_last_layers_alone() -> None:
    network = made(classes=5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with seeded(Rng(2)):
        replace_predictors(network, 2)
    after = network.state_dict()
    changed = {name for name in before if before[name].shape != after[name].shape}
    assert before.keys() == after.keys()
    assert changed and all("predictor" in name for name in changed)
    assert all(torch.equal(before[name], after[name]) for name in before if "predictor" not in name)
    assert after["roi_heads.box_predictor.cls_score.weight"].shape[0] == 2


def test_statistics_of_one_domain_do_not_move_by_the_other() -> None:
    norm = DomainNorm2d(3)
    use_domain(norm, 1)
    norm(5 + 2 * torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert norm.running_mean[0].tolist() == [0, 0, 0] and norm.running_var[0].tolist() == [1, 1, 1]
    assert bool((norm.running_mean[1] > 0.4).all()) and bool((norm.running_var[1] > 1.2).all())


def test_a_domain_normalises_as_batch_norm_does() -> None:
    ours, theirs = DomainNorm2d(3), torch.nn.BatchNorm2d(3)
    for index in range(3):
        batch = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(index))
        assert torch.equal(ours(batch), theirs(batch))
    assert torch.equal(ours.running_var[0], theirs.running_var)
    assert torch.equal(ours.eval()(batch), theirs.eval()(batch))


def test_a_narrow_detector_is_narrow_everywhere_and_finds_masks() -> None:
    with seeded(Rng(0)):
        network = mask_rcnn("resnet18", detections=20, width=16)
    heads = network.roi_heads
    assert network.backbone.out_channels == heads.mask_predictor.conv5_mask.in_channels == 16
    assert heads.box_predictor.cls_score.in_features == 64
    replace_predictors(network, 3)
    assert heads.mask_predictor.conv5_mask.out_channels == 16
    network.eval()
    predictor = heads.box_predictor
    with torch.no_grad():
        predictor.cls_score.weight.zero_()
        predictor.cls_score.bias[1] = 5.0
    assert detect(network, 64)["masks"].shape[1:] == (1, 28, 28)


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_names_and_shapes_are_those_of_torchvisions_networks(layout: Layout) -> None:
    builders = {"v1": maskrcnn_resnet50_fpn, "v2": maskrcnn_resnet50_fpn_v2}
    with torch.device("meta"):
        ours = mask_rcnn("resnet50", 91, layout=layout).state_dict()
        theirs = builders[layout](weights=None, weights_backbone=None).state_dict()
    statistics = ("running_mean", "running_var")
    shapes = {name: each.shape for name, each in theirs.items() if not name.endswith("num_batches_tracked")}
    assert ours.keys() == shapes.keys()
    wrong = [name for name in ours if ours[name].shape != shapes[name] and not name.endswith(statistics)]
    assert wrong == []


def test_the_second_layout_learns_from_images_without_objects() -> None:
    with seeded(Rng(0)):
        network = mask_rcnn("resnet18", regions=8, width=16, layout="v2")
        nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long),
                   "masks": torch.zeros(0, 64, 64, dtype=torch.uint8)}  # fmt: skip
        losses = network([torch.randn(3, 64, 64)], [nothing])
        torch.stack([*losses.values()]).sum().backward()
    assert all(bool(torch.isfinite(each)) for each in losses.values())
    assert all(bool(torch.isfinite(each).all()) for each in network.state_dict().values())
