"""What a report says: plain frozen records that any workflow can fill in; every section may be left empty.

>>> content = ReportContent(title="Nuclei", summary=(Fact("images", "12"), Fact("objects", "843")))
>>> content.summary[1].value
'843'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from morula.core.types import Array

__all__ = [
    "ColourScale",
    "Control",
    "Controls",
    "Fact",
    "Histogram",
    "ImageRow",
    "Overlay",
    "Picture",
    "Plan",
    "ReportContent",
    "Role",
    "Score",
    "Stage",
    "Table",
]

Role = Literal["best", "median", "worst", "example"]


@dataclass(frozen=True)
class Fact:
    """A headline number, such as `Fact("objects", "843", "in 12 images")`."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """What was done and why.

    Attributes:
        paragraphs: plain sentences, one string a paragraph.
        reasons: why this recipe and these settings, one string a bullet.
    """

    paragraphs: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class ColourScale:
    """The key below a float map: what the darkest and the brightest colour stand for.

    Attributes:
        low: text at the dark end, `"0"` or `"background"`.
        high: text at the bright end.
        colours: name of the colour map the picture was drawn with.
    """

    low: str
    high: str
    colours: str = "viridis"


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture with its words.

    Attributes:
        pixels: `(y, x, 3)` uint8, as `to_rgb8`, `overlay`, `colourise` and `label_colours` return it.
        caption: what to see in it.
        name: short heading above the caption.
        alt: what a screen reader says; name and caption by default.
        scale: colour key of a float map.
        width_um: width of the field of view in micrometres; with it the picture gets a scale bar.
    """

    pixels: Array
    caption: str = ""
    name: str = ""
    alt: str = ""
    scale: ColourScale | None = None
    width_um: float | None = None

    def __post_init__(self) -> None:
        _check_rgb8(self.pixels, self.name or self.caption or "picture")
        _check_width(self.width_um, self.name or self.caption or "picture")


@dataclass(frozen=True, eq=False)
class Overlay:
    """A segmented image with its contours drawn.

    Attributes:
        image: the image's name.
        pixels: `(y, x, 3)` uint8 with contours, as `overlay` returns it.
        caption: what to see in it.
        role: why this image was chosen.
        score: its score, when there are labels or confidences.
        measure: what `score` measures, such as `"PQ"`.
        original: the same field without contours, `(y, x, 3)` uint8; with it, the reader can switch the
            contours off.
        width_um: width of the field of view in micrometres; with it the picture gets a scale bar.
    """

    image: str
    pixels: Array
    caption: str = ""
    role: Role = "example"
    score: float | None = None
    measure: str = "score"
    original: Array | None = None
    width_um: float | None = None

    def __post_init__(self) -> None:
        _check_rgb8(self.pixels, self.image)
        if self.original is not None:
            _check_rgb8(self.original, self.image)
        _check_width(self.width_um, self.image)


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of the recipe: its name, what it does in a sentence or two, and what came out."""

    name: str
    what: str
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, eq=False)
class Histogram:
    """How a quantity is distributed over the objects.

    Attributes:
        title: heading, `"Object size"`.
        values: class name -> one number per object; `{"": values}` when there is one class.
        quantity: label of the axis, `"area"`.
        unit: unit of the values, `"µm²"`; empty for a number without unit.
        note: how to read it.
        limits: ends of the axis, `(0, 1)` for a confidence; from the data by default.
    """

    title: str
    values: Mapping[str, Array]
    quantity: str
    unit: str = ""
    note: str = ""
    limits: tuple[float, float] | None = None

    @property
    def count(self) -> int:
        """How many finite values there are."""
        return sum(int(np.isfinite(np.asarray(series, float)).sum()) for series in self.values.values())


@dataclass(frozen=True)
class Score:
    """Agreement with ground truth: a mean over images and its bootstrap interval.

    Attributes:
        measure: name, `"PQ"`.
        mean: mean over the labelled images.
        low: lower end of the 95 % bootstrap interval, None where it could not be computed.
        high: its upper end.
        meaning: the measure in plain words.
        higher_is_better: False for errors and distances.
    """

    measure: str
    mean: float
    low: float | None = None
    high: float | None = None
    meaning: str = ""
    higher_is_better: bool = True


@dataclass(frozen=True)
class Table:
    """A plain table; cells are text, numbers, or None for "not measured".

    Raises:
        ValueError: a row is longer or shorter than `columns`.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"row {row[:1]} has {len(row)} cells, the table {len(self.columns)} columns")


@dataclass(frozen=True, eq=False)
class Control:
    """A method the result is compared with, or the result itself.

    Attributes:
        name: `"Otsu threshold"`.
        values: one number per measure of `Controls.measures`, None where not measured; empty without labels.
        is_result: whether this row is the result that the report is about.
        picture: what it makes of one image, shown beside the others.
    """

    name: str
    values: tuple[float | None, ...] = ()
    is_result: bool = False
    picture: Picture | None = None


@dataclass(frozen=True, eq=False)
class Controls:
    """Simpler methods on the same images.

    Attributes:
        methods: the result and its controls.
        measures: names of the columns; empty when there are no labels.
        lower: names of measures of which less is better; of the others it is more.
        note: what the comparison is meant to show.

    Raises:
        ValueError: a method has values, but not one per measure.
    """

    methods: tuple[Control, ...] = ()
    measures: tuple[str, ...] = ()
    lower: frozenset[str] = frozenset()
    note: str = ""

    def __post_init__(self) -> None:
        for method in self.methods:
            if method.values and len(method.values) != len(self.measures):
                raise ValueError(
                    f"{method.name}: {len(method.values)} values for {len(self.measures)} measures"
                )


@dataclass(frozen=True)
class ImageRow:
    """One image of the run.

    Attributes:
        name: file name or id.
        objects: how many objects were found.
        median_area: median object area in `ReportContent.area_unit`, None without objects.
        mean_score: mean confidence of its objects in [0, 1], None without objects.
        flag: why to look at it, such as `"few objects"`; empty when nothing stands out.
    """

    name: str
    objects: int
    median_area: float | None = None
    mean_score: float | None = None
    flag: str = ""


@dataclass(frozen=True, eq=False)
class ReportContent:
    """All that a report shows; sections left empty vanish from the page.

    Attributes:
        title: heading of the page.
        subtitle: one sentence below it.
        summary: headline facts.
        what_and_why: the plan in words.
        warnings: what the reader has to know before using the result.
        overlays: segmented images.
        class_names: all classes of the run, in the order given to `overlay`; two or more make a legend.
        scores: agreement with ground truth.
        image_scores: the same for each image.
        controls: simpler methods on the same images.
        trust: how far to trust the result, one string a paragraph.
        next_steps: what to do or to label next, one string a step.
        stages: the recipe, step by step.
        distributions: histograms over the objects.
        neurons: what was measured of each traced neuron.
        branches: name -> address of a table of its branches, as seen from the page.
        images: one row per image.
        area_unit: unit of `ImageRow.median_area`.
        provenance: name -> value: versions, seed, device, git revision.
        reproduce: commands that repeat the run, one a line.
    """

    title: str
    subtitle: str = ""
    summary: tuple[Fact, ...] = ()
    what_and_why: Plan = field(default_factory=Plan)
    warnings: tuple[str, ...] = ()
    overlays: tuple[Overlay, ...] = ()
    class_names: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
    image_scores: Table | None = None
    controls: Controls = field(default_factory=Controls)
    trust: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()
    distributions: tuple[Histogram, ...] = ()
    neurons: Table | None = None
    branches: Mapping[str, str] = field(default_factory=dict[str, str])
    images: tuple[ImageRow, ...] = ()
    area_unit: str = "px"
    provenance: Mapping[str, str] = field(default_factory=dict[str, str])
    reproduce: tuple[str, ...] = ()


def _check_rgb8(pixels: Array, name: str) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"{name}: a picture is (y, x, 3) uint8, not {pixels.shape} {pixels.dtype}")


def _check_width(width_um: float | None, name: str) -> None:
    if width_um is not None and not (np.isfinite(width_um) and width_um > 0):
        raise ValueError(f"{name}: the width of the field must be a positive length in µm, not {width_um}")
