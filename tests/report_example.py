"""A rich example report from synthetic cells, shared by the report's tests."""

from __future__ import annotations

import numpy as np
from skimage.filters import gaussian
from skimage.measure import regionprops
from skimage.segmentation import expand_labels

from morula.core.types import Array
from morula.report import (
    ColourScale,
    Control,
    Controls,
    Fact,
    Histogram,
    ImageRow,
    Overlay,
    Picture,
    Plan,
    ReportContent,
    Score,
    Stage,
    Table,
    colourise,
    label_colours,
    overlay,
    to_rgb8,
)

__all__ = ["CLASSES", "NASTY", "example_content", "stained_cells"]

CLASSES = ("positive", "negative")
NASTY = "slide <script>alert('3')</script> & \"B\".tif"
PIXEL_UM = 0.25


def stained_cells(seed: int, side: int = 320, count: int = 70) -> tuple[Array, Array, tuple[str, ...]]:
    """An image like nuclear immunohistochemistry: brown positive and blue negative cells on a pale ground.

    Returns:
        RGB `(y, x, 3)` uint8, labels `(y, x)`, and the class of each object.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.int32)
    for _ in range(count):
        y, x = rng.uniform(0, side, 2)
        long, short, turn = rng.uniform(8, 14), rng.uniform(6, 9), rng.uniform(0, np.pi)
        u = (rows - y) * np.cos(turn) + (columns - x) * np.sin(turn)
        v = (columns - x) * np.cos(turn) - (rows - y) * np.sin(turn)
        inside = (u / long) ** 2 + (v / short) ** 2 < 1
        if (labels[inside] == 0).mean() > 0.9:
            labels[inside & (labels == 0)] = labels.max() + 1
    classes = tuple(np.where(rng.random(labels.max()) < 0.4, *CLASSES).tolist())
    stain = np.zeros((side, side, 3))
    stain[:] = (236, 226, 222)
    for i, name in enumerate(classes, 1):
        stain[labels == i] = np.array((136, 84, 52) if name == "positive" else (110, 128, 176)) + rng.normal(
            0, 14
        )
    texture = gaussian(rng.normal(0, 1, (side, side)), 2)[..., None] * 70 + rng.normal(0, 5, (side, side, 1))
    blurred = gaussian(stain, (1, 1, 0), preserve_range=True)
    return np.clip(blurred + texture, 0, 255).astype(np.uint8), labels, classes


def example_content(image: Array | None = None, labels: Array | None = None) -> ReportContent:
    """A report with every section filled in, on synthetic cells or on the image given."""
    rgb, truth, classes = stained_cells(0)
    if image is not None and labels is not None:
        rgb, truth = image, labels
        classes = tuple(CLASSES[i % 3 > 0] for i in range(int(truth.max())))
    areas = np.array([region.area for region in regionprops(truth)]) * PIXEL_UM**2
    confidence = np.random.default_rng(1).beta(7, 2, len(areas))
    positive = np.array([name == "positive" for name in classes])
    return ReportContent(
        title="Ki-67 in breast tissue, batch 7",
        subtitle="24 unlabelled images segmented into positive and negative nuclei without a single label.",
        summary=(
            Fact("images", "24", "5 of them labelled, for scoring only"),
            Fact("nuclei found", "1,873", "41 % positive"),
            Fact("recipe", "psm", "preset best"),
            Fact("time", "6 min 12 s", "on 8 CPU cores"),
        ),
        what_and_why=Plan(
            paragraphs=(
                "A network learned to tell real image patches from shuffled ones. Where it looks to "
                "decide is where the cells are; those places became a first, rough mask, and a second "
                "network learned from the rough masks to draw clean ones.",
            ),
            reasons=(
                "You have no labels for training, so a recipe that needs none was chosen.",
                "The cells are about 20 px across; images were therefore used at their own resolution.",
                "Two stains were found, so objects are sorted into two classes by their colour.",
            ),
        ),
        warnings=(
            "Scores come from 5 labelled images. Label 5 more before you rely on the second decimal.",
            "Nuclei that touch the border (118) are counted, but left out of the size statistics.",
        ),
        overlays=_overlays(rgb, truth, classes, synthetic=image is None),
        class_names=CLASSES,
        scores=(
            Score("PQ", 0.612, 0.574, 0.651, "Finds the right objects and draws them well, in one number."),
            Score(
                "AP at IoU 0.5", 0.71, 0.60, 0.79, "Share of objects found, counting a half overlap as found."
            ),
            Score("Dice", 0.853, 0.841, 0.866, "Overlap of all foreground with the truth."),
            Score(
                "Count error", 4.2, 2.8, 6.1, "Objects too many or too few per image.", higher_is_better=False
            ),
        ),
        image_scores=Table(
            ("Image", "PQ", "AP at IoU 0.5", "Dice"),
            tuple((f"tile_{i:02d}.tif", 0.55 + 0.03 * i, 0.62 + 0.04 * i, 0.83 + 0.01 * i) for i in range(5)),
        ),
        controls=_controls(rgb, truth, classes),
        trust=(
            "Contours of well separated nuclei can be used as they are. Where nuclei overlap in clumps, "
            "about one in six is merged with a neighbour; counts there are too low, and areas too large.",
            "Confidence below 0.6 goes with most of the errors on the labelled images.",
        ),
        next_steps=(
            "Label tile_17.tif and tile_03.tif: they differ most from what the network has seen.",
            "Then run the recipe cupre, which makes use of labels; expect a gain of 0.05 to 0.10 in PQ.",
            "Check the 3 flagged images below for focus.",
        ),
        stages=_stages(rgb, truth, classes),
        distributions=(
            Histogram(
                "Object size",
                {"positive": areas[positive], "negative": areas[~positive]},
                "area",
                "µm²",
                "A second peak at twice the size would mean merged nuclei.",
            ),
            Histogram("Confidence", {"": confidence}, "confidence", limits=(0, 1)),
        ),
        neurons=Table(
            ("stack", "nodes", "tips"),
            ((NASTY, 120, 6), ("stack_2", 84, 3)),
        ),
        images=(
            ImageRow(NASTY, 83, 52.1, 0.81),
            ImageRow("tile_03.tif", 4, 131.0, 0.44, "few objects, out of focus?"),
            ImageRow("tile_04.tif", 0, None, None, "nothing found"),
            *(
                ImageRow(f"tile_{i:02d}.tif", 60 + 7 * i % 31, 48 + 0.7 * i, 0.7 + 0.01 * i)
                for i in range(5, 17)
            ),
        ),
        area_unit="µm²",
        provenance={
            "Morula": "0.1.0",
            "Python": "3.12.4",
            "torch": "2.10.0",
            "device": "cpu (8 threads)",
            "seed": "0",
            "git": "77a6d25",
            "data fingerprint": "9f31c2ab04d1e877",
        },
        reproduce=(
            "morula run batch7/images --recipe psm --seed 0 --out runs/batch7",
            "morula evaluate runs/batch7 --labels batch7/labels",
        ),
    )


def _overlays(rgb: Array, labels: Array, classes: tuple[str, ...], *, synthetic: bool) -> tuple[Overlay, ...]:
    words = {
        "best": ("tile_11.tif", 0.78, "Well separated nuclei; hardly anything is missed."),
        "median": ("tile_06.tif", 0.62, "A few pale nuclei are missed."),
        "worst": (NASTY, 0.31, "Dense clumps: several nuclei share one contour."),
    }
    shown = []
    for seed, (role, (name, score, caption)) in enumerate(words.items()):
        if synthetic:
            rgb, labels, classes = stained_cells(seed, count=60 + 60 * seed)
        drawn = overlay(rgb, labels, classes, class_names=CLASSES)
        width = labels.shape[1] * PIXEL_UM
        shown.append(Overlay(name, drawn, caption, role, score, "PQ", original=rgb, width_um=width))
    return tuple(shown)


def _stages(rgb: Array, labels: Array, classes: tuple[str, ...]) -> tuple[Stage, ...]:
    rng = np.random.default_rng(5)
    activation = gaussian((labels > 0).astype(float), 6) + 0.05 * rng.random(labels.shape)
    clusters = np.digitize(activation, np.quantile(activation, (0.5, 0.75))) + 1
    rough = expand_labels(labels, 2)
    width = labels.shape[1] * PIXEL_UM
    return (
        Stage("Look at the images", "Patches are drawn from all images, none of them labelled.", (
            Picture(to_rgb8(rgb), "One of 24 images.", "Image", width_um=width),
            Picture(to_rgb8(255 - rgb[..., 0].astype(np.uint16)), "Optical density.", "Stain"),
        )),
        Stage("Learn without labels, and ask where the network looks",
              "The sum of its feature maps is large on cells.", (
            Picture(colourise(activation), "Bright where the network looks.", "Activation map",
                    scale=ColourScale("background", "cell")),
            Picture(label_colours(clusters), "Three groups of similar pixels.", "Clusters"),
        )),
        Stage("Train on the rough mask, then split touching cells",
              "A second network learns from the rough masks; a watershed parts neighbours.", (
            Picture(label_colours(rough), "Each object in a colour of its own.", "Rough mask"),
            Picture(overlay(rgb, labels, classes, class_names=CLASSES), "", "Final contours", width_um=width),
        )),
    )  # fmt: skip


def _controls(rgb: Array, labels: Array, classes: tuple[str, ...]) -> Controls:
    merged = (labels > 0).astype(np.int32)
    return Controls(
        methods=(
            Control("Morula", (0.612, 0.853), True, Picture(
                overlay(rgb, labels, classes, class_names=CLASSES), "Touching nuclei are split.")),
            Control("Otsu threshold", (0.341, None),
                    picture=Picture(overlay(rgb, merged), "Clumps stay in one piece.")),
            Control("First stage only", (0.488, 0.861),
                    picture=Picture(overlay(rgb, expand_labels(labels, 2)), "Contours are too wide.")),
        ),
        measures=("PQ", "Dice"),
        note="If a simple threshold did as well, the network would not be worth its time.",
    )  # fmt: skip
