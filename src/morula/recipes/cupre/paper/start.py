"""Weights that a detector starts from: torchvision's of COCO, of a file, or of an earlier run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlparse

from torch import Tensor
from torchvision.models.detection import (
    MaskRCNN,
    MaskRCNN_ResNet50_FPN_V2_Weights,
    MaskRCNN_ResNet50_FPN_Weights,
)

from morula.core.errors import DataError, ResourceError, UsageError
from morula.core.hashing import file_sha256
from morula.data.sets.archive import cache_folder, fetch
from morula.engine import LoadReport, Run, Weights, WeightsInfo, once, read_tensors, weights_file
from morula.nets import DOMAINS, CascadeHeads, Layout
from morula.recipes.cupre.paper.config import PaperConfig

__all__ = ["COCO", "Start", "fetch_coco", "fill", "named", "published_url", "start_from"]

COCO = "coco"
"""What `--weights` calls torchvision's checkpoints."""

_COUNTS = "num_batches_tracked"
_EPS = 1e-5  # of our norms; those of the first checkpoint were frozen, and had none
_OLDER = {  # names of the first checkpoint, and of what torchvision makes of them
    r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$": r"\1.0.\2",
    r"^(rpn\.head\.conv)\.(weight|bias)$": r"\1.0.0.\2",
}
_OLDER_MASK = re.compile(r"^(roi_heads\.mask_head)\.mask_fcn(\d+)\.(weight|bias)$")
_NEW = ("_predictor.", "rpn.head.cls_logits.", "rpn.head.bbox_pred.")
_NEEDS = {"backbone": "resnet50", "width": 256}


class Start(NamedTuple):
    """Weights to start from.

    Attributes:
        name: `coco`, or the file.
        checksum: SHA-256 of the file, or the first digits of it.
    """

    name: str
    checksum: str


def named(config: PaperConfig) -> Start | None:
    """What the config names, without a download.

    Raises:
        DataError: there is no such file, or no weights in the folder.
        UsageError: the detector is another one than those of COCO.
    """
    if not config.weights:
        return None
    if config.weights == COCO:
        other = {key: getattr(config, key) for key, value in _NEEDS.items() if getattr(config, key) != value}
        if other:
            found = f"torchvision's detectors of COCO have {_told(_NEEDS)}, and the config has {_told(other)}"
            fix = "choose --preset paper, or give --weights a file that fits"
            raise UsageError("--weights coco", found, fix)
        return Start(COCO, _digits(published_url(config.layout)))
    file = weights_file(Path(config.weights))
    if not file.is_file():
        raise DataError(file, "there is no such file", "give --weights a file, a run, or the word coco")
    return Start(str(file), file_sha256(file))


def published_url(layout: Layout) -> str:
    """Where torchvision keeps the checkpoint; its file name ends with the first digits of its SHA-256."""
    first, second = MaskRCNN_ResNet50_FPN_Weights.COCO_V1, MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1
    return first.url if layout == "v1" else second.url


def fetch_coco(url: str, cache: Path | None = None) -> Path:
    """The checkpoint, from the cache or the network.

    Args:
        url: of `published_url`.
        cache: folder of all downloads, the user's cache folder by default.

    Raises:
        ResourceError: it cannot be downloaded, or is another file than was published.
    """
    folder, name = (cache or cache_folder()) / "weights", PurePosixPath(urlparse(url).path).name
    try:
        return fetch(url, _digits(url), folder, name, command="morula train IMAGES ... --weights coco")
    except ResourceError as error:
        fix = f"{error.fix}; or fetch that file by other means and give --weights FILE"
        raise ResourceError(error.where, error.found, fix) from error


def start_from(run: Run, start: Start, network: MaskRCNN, config: PaperConfig) -> dict[str, Any]:
    """Fills the detector and says what fits: what it tells on the console is what the run keeps.

    Of several processes the first reads for all.

    Args:
        run: whose console is told.
        start: of `named`.
        network: changed in place.
        config: of the recipe.

    Returns:
        Source, checksum, and the names of the tensors that were loaded, left out, and are new.

    Raises:
        DataError: the file cannot be read, or is of another detector.
        ResourceError: the checkpoint cannot be downloaded.
    """

    def read() -> dict[str, Tensor]:
        downloaded = fetch_coco(published_url(config.layout)) if start.name == COCO else None
        return read_tensors(downloaded or Path(start.name))

    told = fill(network, once(run.fabric, read), start.name)
    run.console.print(f"Starting from the weights of {start.name}: {len(told.loaded)} tensors loaded.")
    for what, names in (("left out", told.skipped), ("new", told.missing)):
        if names:
            run.console.print(f"{len(names)} tensors {what}: {', '.join(names)}")
    fate = {"loaded": [*told.loaded], "skipped": [*told.skipped], "new": [*told.missing]}
    return {"source": start.name, "sha256": start.checksum, **fate}


def fill(network: MaskRCNN, tensors: Mapping[str, Tensor], source: str) -> LoadReport:
    """Copies what fits: backbone, neck, proposals, and all of the heads before their last layers.

    The last layers fit where classes are as many, those of the proposals where the anchors of a place are;
    else they stay as they were. Running statistics of a domain, which torchvision does not have, are for all.

    Args:
        network: changed in place.
        tensors: by the names of torchvision, old or new, or by ours.
        source: where they are from.

    Raises:
        DataError: more than last layers would stay as they were.
    """
    found = Weights(_for_stages(_renamed(tensors), network), WeightsInfo("mask-rcnn"))
    wanted = network.state_dict()
    shapes = {name: each.shape for name, each in found.tensors.items()}
    unfilled = [name for name, each in wanted.items() if shapes.get(name) != each.shape]
    lost = [name for name in unfilled if not any(part in name for part in _NEW)]
    if lost:
        told = f"{len(lost)} of {len(wanted)} tensors of the detector are not in it, or of another shape: "
        fix = "give weights of a Mask R-CNN with this backbone, width and layout, or change these to those"
        raise DataError(source, f"{told}{lost[0]} is the first", fix)
    return found.load_into(network)


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """By the names of our detectors, with running statistics for each domain."""
    frozen = not any(name.endswith(_COUNTS) for name in tensors)
    found: dict[str, Tensor] = {}
    for stored, tensor in tensors.items():
        if stored.endswith(_COUNTS):
            continue
        name, value = _newer(stored), tensor
        if name.endswith(("running_mean", "running_var")) and tensor.ndim == 1:
            inflated = frozen and name.endswith("running_var")
            value = (tensor - _EPS).clamp(min=0) if inflated else tensor
            value = value.expand(DOMAINS, -1)
        found[name] = value
    return found


def _for_stages(tensors: dict[str, Tensor], network: MaskRCNN) -> dict[str, Tensor]:
    """Each stage of a cascade starts from the one box head of a detector that has no cascade."""
    heads: Any = network.roi_heads
    if not isinstance(heads, CascadeHeads):
        return tensors
    plain = "roi_heads.box_head."
    copies = {
        f"roi_heads.stages.{number}.head.{name.removeprefix(plain)}": value
        for name, value in tensors.items()
        if name.startswith(plain)
        for number in range(len(heads.stages))
    }
    rest = {name: value for name, value in tensors.items() if not name.startswith(plain)}
    return {**rest, **copies}


def _newer(name: str) -> str:
    for pattern, replacement in _OLDER.items():
        name = re.sub(pattern, replacement, name)
    return _OLDER_MASK.sub(lambda found: f"{found[1]}.{int(found[2]) - 1}.0.{found[3]}", name)


def _digits(url: str) -> str:
    return PurePosixPath(urlparse(url).path).stem.rpartition("-")[2]


def _told(values: Mapping[str, Any]) -> str:
    return " and ".join(f"{key} {value}" for key, value in values.items())
