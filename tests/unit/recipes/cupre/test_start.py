"""Weights of others to start from: what is downloaded, what fits, and what is told of the rest."""

from __future__ import annotations

import re
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops.misc import FrozenBatchNorm2d

from morula.core.config import override
from morula.core.errors import DataError, ResourceError, UsageError
from morula.core.hashing import file_sha256
from morula.core.rng import Rng
from morula.engine import Run, Weights, WeightsInfo, launch, read_json, seeded
from morula.nets import DomainNorm2d, Layout, mask_rcnn, use_domain
from morula.recipes.cupre.paper import start as module
from morula.recipes.cupre.paper.amt2 import CELLS, NATURAL, detector_of
from morula.recipes.cupre.paper.config import PaperConfig, paper, paper_small
from morula.recipes.cupre.paper.images import normalised
from morula.recipes.cupre.paper.pretrain import ALONE, pretrain
from morula.recipes.cupre.paper.start import fetch_coco, fill, named, published_url
from server import Quiet, serving
from synthetic import field, save_natural

WIDTH = 16
LAYERS = {f"layer{level}": str(level - 1) for level in range(1, 5)}
PREDICTORS = {
    f"roi_heads.{part}.{kind}"
    for part in ("box_predictor.cls_score", "box_predictor.bbox_pred", "mask_predictor.mask_fcn_logits")
    for kind in ("weight", "bias")
}
SMALL = {
    "iterations": 1, "views": 2, "view": 32, "parts": 1, "queue": 4, "regions": 8, "detections": 10,
    "width": WIDTH, "steps": 1, "batch": 1, "crop": 64,
}  # fmt: skip


def published(classes: int = 91, norm: Any = FrozenBatchNorm2d) -> MaskRCNN:
    """torchvision's own network with a small backbone, as after some training."""
    with seeded(Rng(5)):
        body = resnet18(weights=None, norm_layer=norm)
        network = MaskRCNN(
            BackboneWithFPN(body, LAYERS, [64, 128, 256, 512], WIDTH),
            box_head=TwoMLPHead(WIDTH * 49, 4 * WIDTH),
            box_predictor=FastRCNNPredictor(4 * WIDTH, classes),
            mask_head=MaskRCNNHeads(WIDTH, (WIDTH,) * 4, 1),
            mask_predictor=MaskRCNNPredictor(WIDTH, WIDTH, classes),
        )
        for name, value in network.state_dict().items():
            if name.endswith(("running_mean", "running_var")):
                value.copy_(torch.rand(value.shape) + 0.1)
    return network.eval()


def older(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """By the names that the file of 2019 has."""
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        name = re.sub(r"(inner_blocks|layer_blocks)\.(\d)\.0\.", r"\1.\2.", name)
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        name = re.sub(r"mask_head\.(\d)\.0", lambda part: f"mask_head.mask_fcn{int(part[1]) + 1}", name)
        found[name] = value
    return found


def ours(classes: int = 2, layout: Layout = "v1") -> MaskRCNN:
    with seeded(Rng(6)):
        return mask_rcnn("resnet18", classes, width=WIDTH, layout=layout)


def test_a_filled_network_does_what_torchvisions_does_whose_old_names_are_understood() -> None:
    theirs = published()
    tensors = older(theirs.state_dict())
    assert "rpn.head.conv.weight" in tensors and "roi_heads.mask_head.mask_fcn4.bias" in tensors
    again = published()
    again.load_state_dict(tensors)  # torchvision takes these names, and no others
    overwrite_eps(again, 0.0)  # as it does for this checkpoint
    network = ours().eval()
    told = fill(network, tensors, "the file")
    assert set(told.skipped) == set(told.missing) == PREDICTORS
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = again.backbone(image)
        for domain in (CELLS, NATURAL):
            use_domain(network, domain)
            for name, maps in network.backbone(image).items():
                torch.testing.assert_close(maps, expected[name], rtol=1e-4, atol=1e-4)
        maps = [*expected.values()]
        for one, other in zip(network.rpn.head(maps), again.rpn.head(maps), strict=True):
            assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))
        regions = torch.rand(2, WIDTH, 7, 7, generator=torch.Generator().manual_seed(1))
        for part in ("box_head", "mask_head"):
            assert torch.equal(
                getattr(network.roi_heads, part)(regions), getattr(again.roi_heads, part)(regions)
            )


def test_small_deviations_of_frozen_norms_count_in_full() -> None:
    """torchvision adds nothing to the variances of this checkpoint, and ours are to do the same."""
    theirs = published()
    theirs.backbone.body.bn1.running_var.fill_(1e-4)
    network = ours().eval()
    fill(network, older(theirs.state_dict()), "the file")
    overwrite_eps(theirs, 0.0)
    maps = torch.randn(1, 64, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network.backbone.body.bn1(maps), theirs.backbone.body.bn1(maps))


def test_norms_that_learned_keep_their_statistics_and_their_counts_are_no_weights() -> None:
    theirs = published(norm=nn.BatchNorm2d)
    network = ours()
    told = fill(network, theirs.state_dict(), "the file")
    assert not any(name.endswith("num_batches_tracked") for name in told.skipped)
    norm: Any = network.backbone.body.bn1
    assert isinstance(norm, DomainNorm2d)
    for domain in (CELLS, NATURAL):
        assert torch.equal(norm.running_var[domain], theirs.state_dict()["backbone.body.bn1.running_var"])


def test_last_layers_fit_where_classes_and_anchors_are_as_many() -> None:
    tensors = published(classes=2).state_dict()
    assert not fill(ours(classes=2), tensors, "the file").missing
    for name in ("cls_logits", "bbox_pred"):  # as with five ratios
        for kind in ("weight", "bias"):
            stored = tensors[f"rpn.head.{name}.{kind}"]
            tensors[f"rpn.head.{name}.{kind}"] = torch.cat([stored, stored])[: len(stored) * 5 // 3]
    network = ours(classes=2)
    before = network.rpn.head.cls_logits.weight.clone()
    told = fill(network, tensors, "the file")
    assert set(told.skipped) == {name for name in tensors if re.match(r"rpn\.head\.(cls|bbox)", name)}
    assert torch.equal(network.rpn.head.cls_logits.weight, before)
    assert torch.equal(network.rpn.head.conv[0][0].weight, tensors["rpn.head.conv.0.0.weight"])


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_all_of_the_real_layout_fits(layout: Layout) -> None:
    """Of ResNet-50, on a device without memory: names and shapes are all that counts."""
    builders = {"v1": maskrcnn_resnet50_fpn, "v2": maskrcnn_resnet50_fpn_v2}
    with torch.device("meta"):
        theirs = builders[layout](weights=None, weights_backbone=None).state_dict()
        network = detector_of(override(paper(), {"layout": layout}))
        told = fill(network, older(theirs) if layout == "v1" else theirs, "coco")
    assert set(told.missing) == set(told.skipped) == PREDICTORS


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_another_detector_is_refused(layout: Layout) -> None:
    with pytest.raises(DataError, match=r"of \d+ tensors of the detector are not in it.*layout"):
        fill(ours(layout="v2" if layout == "v1" else "v1"), ours(layout=layout).state_dict(), "the file")
    with torch.device("meta"):
        deeper = mask_rcnn("resnet50").state_dict()
    with pytest.raises(DataError, match="backbone"):
        fill(ours(), deeper, "the file")


def test_each_stage_of_a_cascade_starts_from_the_one_box_head() -> None:
    tensors = published().state_dict()
    with seeded(Rng(6)):
        network = mask_rcnn("resnet18", width=WIDTH, cascade=True)
    told = fill(network, tensors, "the file")
    heads: Any = network.roi_heads
    for stage in heads.stages:
        assert torch.equal(stage.head.fc6.weight, tensors["roi_heads.box_head.fc6.weight"])
    new = {name for name in network.state_dict() if re.search(r"(cls|bbox)_predictor|mask_fcn_logits", name)}
    assert set(told.missing) == new and len(new) == 3 * 4 + 2
    assert not fill(network, network.state_dict(), "a cascade").missing


# --- what is named


def test_what_is_named_is_looked_at_before_anything_is_downloaded(tmp_path: Path) -> None:
    assert named(paper()) is None
    assert named(override(paper(), {"weights": "coco"})) == ("coco", "bf2d0c1e")
    assert named(override(paper(), {"weights": "coco", "layout": "v2"})) == ("coco", "73cbd019")
    with pytest.raises(UsageError, match=r"backbone resnet50 and width 256.*backbone resnet18 and width 64"):
        named(override(paper_small(), {"weights": "coco"}))
    with pytest.raises(DataError, match="no such file"):
        named(override(paper(), {"weights": str(tmp_path / "a.pth")}))
    (tmp_path / "a.pth").write_bytes(b"weights")
    found = named(override(paper(), {"weights": str(tmp_path / "a.pth")}))
    assert found == (str(tmp_path / "a.pth"), file_sha256(tmp_path / "a.pth"))
    with pytest.raises(DataError, match="no weights in this folder"):
        named(override(paper(), {"weights": str(tmp_path)}))


def serve(folder: Path, tensors: dict[str, Tensor]) -> str:
    """Puts a checkpoint with its checksum in its name into the folder, and gives the name."""
    folder.mkdir(exist_ok=True)
    torch.save(tensors, folder / "new.pth")
    name = f"maskrcnn_resnet50_fpn_coco-{file_sha256(folder / 'new.pth')[:8]}.pth"
    (folder / "new.pth").rename(folder / name)
    return name


def test_the_checkpoint_is_downloaded_once_and_never_half(tmp_path: Path) -> None:
    name = serve(tmp_path / "served", {"a.weight": torch.zeros(3)})
    with serving(partial(Quiet, directory=str(tmp_path / "served"))) as address:
        path = fetch_coco(f"{address}/{name}", tmp_path / "cache")
    assert path == tmp_path / "cache" / "weights" / name
    assert fetch_coco(f"{address}/{name}", tmp_path / "cache") == path  # the server is gone
    with pytest.raises(ResourceError, match="--weights FILE") as caught:
        fetch_coco(f"{address}/{name}", tmp_path / "other")
    assert caught.value.exit_code == 4
    assert not [path for path in (tmp_path / "other").rglob("*") if path.is_file()]


def test_another_file_than_was_published_is_an_error_that_names_both(tmp_path: Path) -> None:
    name = serve(tmp_path / "served", {"a.weight": torch.zeros(3)})
    other = tmp_path / "served" / "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"
    (tmp_path / "served" / name).rename(other)
    with (
        serving(partial(Quiet, directory=str(tmp_path / "served"))) as address,
        pytest.raises(ResourceError, match=f"{file_sha256(other)}, where bf2d0c1e was published"),
    ):
        fetch_coco(f"{address}/{other.name}", tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_the_addresses_are_torchvisions() -> None:
    assert published_url("v1").endswith("/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth")
    assert published_url("v2").endswith("/maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth")


# --- the stage


def pretrained(path: Path, told: StringIO, **changes: Any) -> tuple[MaskRCNN, dict[str, Any]]:
    config: PaperConfig = override(paper_small(), {**SMALL, **changes})
    run = Run.open(
        path, recipe="cupre", config=config.model_dump(mode="json"), data={}, seed=0,
        fabric=launch("cpu", "32-true"), console=Console(file=told, width=10_000),
    )  # fmt: skip
    network = pretrain(run, [normalised(field(0, size=96, count=8)[0])], config)
    return network, read_json(path / "1-pretrain" / "done.json")


def test_a_run_starts_from_the_downloaded_weights_and_learns_by_contrast_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = older(published().state_dict())
    name = serve(tmp_path / "served", tensors)
    monkeypatch.setenv("MORULA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_NEEDS", {"backbone": "resnet18", "width": WIDTH})
    told = StringIO()
    with serving(partial(Quiet, directory=str(tmp_path / "served"))) as address:
        monkeypatch.setattr(module, "published_url", lambda layout: f"{address}/{name}")
        network, done = pretrained(tmp_path / "run", told, weights="coco", contrast_lr=1e-5)
    found = network.state_dict()
    fpn = "backbone.fpn.inner_blocks.0"
    assert torch.equal(found[f"{fpn}.0.weight"], tensors[f"{fpn}.weight"])
    assert torch.equal(found["roi_heads.box_head.fc6.weight"], tensors["roi_heads.box_head.fc6.weight"])
    kernel = "backbone.body.conv1.weight"
    assert not torch.equal(found[kernel], tensors[kernel])  # of contrast
    torch.testing.assert_close(found[kernel], tensors[kernel], rtol=0.01, atol=0.01)
    fate = done["weights"]
    assert (fate["source"], fate["sha256"]) == ("coco", name[-12:-4])
    assert set(fate["skipped"]) == set(fate["new"]) == PREDICTORS and kernel in fate["loaded"]
    lines = told.getvalue()
    assert "weights of coco" in lines and ALONE in lines
    assert all(each in lines for each in PREDICTORS)
    kept = Weights.load(tmp_path / "run" / "1-pretrain" / "network.safetensors")
    assert kept.info.parents == ("coco",)
    again, _ = pretrained(tmp_path / "run", told, weights="coco", contrast_lr=1e-5)  # without a server
    assert torch.equal(again.state_dict()[kernel], found[kernel])


def test_a_run_starts_from_what_another_has_pre_trained(tmp_path: Path) -> None:
    before, _ = pretrained(tmp_path / "before", StringIO(), objective="none")
    tensors = {name: value.clone() for name, value in before.state_dict().items()}
    natural = str(save_natural(tmp_path / "natural"))
    after, done = pretrained(
        tmp_path / "after", StringIO(), objective="none", weights=str(tmp_path / "before"),
        natural=natural,
    )  # fmt: skip
    left = {name for name, value in after.state_dict().items() if value.shape != tensors[name].shape}
    assert left == PREDICTORS == set(done["weights"]["skipped"])
    assert all(
        torch.equal(value, tensors[name]) for name, value in after.state_dict().items() if name not in left
    )


def test_other_weights_are_other_inputs(tmp_path: Path) -> None:
    with seeded(Rng(1)):
        network = mask_rcnn("resnet18", width=WIDTH)
    file = tmp_path / "a.safetensors"
    Weights.of(network, WeightsInfo("mask-rcnn")).save(file)
    settings = {"objective": "none", "weights": str(file)}
    pretrained(tmp_path / "run", StringIO(), **settings)
    pretrained(tmp_path / "run", StringIO(), **settings)
    with seeded(Rng(2)):
        network = mask_rcnn("resnet18", width=WIDTH)
    Weights.of(network, WeightsInfo("mask-rcnn")).save(file)
    with pytest.raises(UsageError, match="made from other inputs"):
        pretrained(tmp_path / "run", StringIO(), **settings)
