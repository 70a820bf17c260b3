"""The nouns that every room shares: axes, voxel sizes, volumes, records, segmentations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from morula.core.hashing import fingerprint

if TYPE_CHECKING:
    from morula.core.tree import Tree

__all__ = ["Array", "ArraySource", "Axes", "Domain", "Record", "Segmentation", "Volume", "Voxel", "VoxelSize"]

Array = npt.NDArray[Any]
Domain = Literal["source", "target"]


class ArraySource(Protocol):
    """What a volume reads from: numpy, zarr, HDF5 and the readers of `morula.data` all satisfy it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        ...

    def __getitem__(self, key: Any, /) -> Any:
        """The part that `key` names, as an array."""
        ...


@dataclass(frozen=True)
class Axes:
    """The meaning of each array axis, always in the order c, z, y, x.

    >>> Axes("cyx").spatial, Axes("zyx").ndim
    ('yx', 3)
    """

    order: str

    def __post_init__(self) -> None:
        if self.order not in {"yx", "cyx", "zyx", "czyx"}:
            raise ValueError(f"axes must be one of yx, cyx, zyx, czyx, not {self.order!r}")

    @property
    def spatial(self) -> str:
        """The axes without the channel axis."""
        return self.order.replace("c", "")

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.order)

    @property
    def has_channels(self) -> bool:
        """Whether the first axis is the channel axis."""
        return self.order.startswith("c")


@dataclass(frozen=True)
class Voxel:
    """Edge lengths of one pixel or voxel in nanometres; `z` is None for a 2D image.

    >>> Voxel(y=250.0, x=250.0).area
    62500.0
    """

    y: float
    x: float
    z: float | None = None

    def __post_init__(self) -> None:
        for name, length in (("z", self.z), ("y", self.y), ("x", self.x)):
            if length is not None and not (np.isfinite(length) and length > 0):
                raise ValueError(f"voxel size {name} must be a positive length in nm, not {length}")

    @property
    def area(self) -> float:
        """Area of one pixel in nm^2 (in the y-x plane)."""
        return self.y * self.x


VoxelSize = Voxel | Literal["unknown"] | None
"""What a user says of a size in nm: what it is, that nobody knows it, or to take what the files say."""


@dataclass(frozen=True)
class Volume:
    """An image or volume that is read when sliced; never written to.

    Attributes:
        source: lazy array whose axes are `axes`.
        axes: meaning of each axis, in the order c, z, y, x.
        uri: where it came from (a path, or `file.h5:/key`).
        voxel: size of a voxel in nm, None where the file does not say.
        channels: what each channel shows, `("red", "green", "blue")` or `("grey",)`; never guessed by length.
        stamp: what identifies the content without reading it all (size and modification time, or a hash).
    """

    source: ArraySource
    axes: Axes
    uri: str
    voxel: Voxel | None = None
    channels: tuple[str, ...] = ("grey",)
    stamp: str = ""

    def __post_init__(self) -> None:
        if len(self.source.shape) != self.axes.ndim:
            raise ValueError(f"{self.uri}: shape {self.source.shape} does not fit axes {self.axes.order}")
        found = self.source.shape[0] if self.axes.has_channels else 1
        if found != len(self.channels):
            raise ValueError(f"{self.uri}: {found} channels, but {len(self.channels)} channel names")

    def __getitem__(self, key: Any, /) -> Array:
        return np.asarray(self.source[key])

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis of `axes`."""
        return tuple(self.source.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of the stored data."""
        return np.dtype(self.source.dtype)

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Size in pixels, z (if any), y, x."""
        return self.shape[1:] if self.axes.has_channels else self.shape

    @property
    def is_rgb(self) -> bool:
        """Whether the channels are red, green, blue."""
        return self.channels == ("red", "green", "blue")

    @property
    def address(self) -> str:
        """`uri` as it is understood from any folder."""
        return self.uri if "://" in self.uri else str(Path(self.uri).absolute())

    @cached_property
    def fingerprint(self) -> str:
        """Changes when the content, the axes or the voxel size change."""
        return fingerprint(self.address, self.stamp, self.shape, str(self.dtype), self.axes.order, self.voxel)

    def sized(self, told: VoxelSize) -> Volume:
        """The same values with the size that a user told, in place of the file's.

        Args:
            told: without z the file's z is kept.
        """
        if told is None:
            return self
        if told == "unknown":
            return replace(self, voxel=None)
        z = told.z if told.z is not None or self.voxel is None else self.voxel.z
        return replace(self, voxel=replace(told, z=z))

    def read(self) -> Array:
        """The whole array, axes as in `axes`."""
        return self[...]

    def read_yxc(self) -> Array:
        """A 2D image as `(y, x, c)`, the channel axis added where there is none."""
        if self.axes.spatial != "yx":
            raise ValueError(f"{self.uri}: axes are {self.axes.order}, not a 2D image")
        array = self.read()
        return np.moveaxis(array, 0, -1) if self.axes.has_channels else array[..., None]


@dataclass(frozen=True)
class Record:
    """One image of a data set, with its labels where there are any.

    Unlabelled, labelled and cross-domain data are one type, so that a leak of labels can be checked for.

    Attributes:
        id: name of the image within the set (the file's stem).
        image: the image.
        labels: opens the label array `(y, x)` or `(z, y, x)`, 0 = background, in a `box` also -1 where nobody
            labelled; None where there are none.
        box: the part of the image that `labels` is about, one slice with step 1 for each spatial axis; None
            where it is the whole.
        domain: `source` or `target` for domain adaptation.
        group: images that must stay on one side of a split (tiles of one slide); empty where nobody says.
        trace: opens the traced neuron of the image, in its voxels; None where there is none.
    """

    id: str
    image: Volume
    labels: Callable[[], Array] | None = None
    domain: Domain = "target"
    group: str = ""
    box: tuple[slice, ...] | None = None
    trace: Callable[[], Tree] | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether ground truth can be read."""
        return self.labels is not None


@dataclass(frozen=True)
class Segmentation:
    """Objects found in one image.

    Attributes:
        labels: `(y, x)` or `(z, y, x)`, 0 = background, objects 1..N without gaps.
        scores: `(N,)` confidence of each object in [0, 1]; object i has `scores[i - 1]`.
        classes: `(N,)` class name of each object.
        maps: named float maps worth showing, each shaped like `labels`.
        tree: the traced neuron, in voxels, where objects are traced.
    """

    labels: Array
    scores: Array
    classes: tuple[str, ...]
    maps: dict[str, Array] = field(default_factory=dict[str, Array])
    tree: Tree | None = None

    def __post_init__(self) -> None:
        count = int(self.labels.max(initial=0))
        if not np.issubdtype(self.labels.dtype, np.integer):
            raise ValueError(f"labels must be integers, not {self.labels.dtype}")
        if len(self.scores) != count or len(self.classes) != count:
            raise ValueError(f"{count} objects, {len(self.scores)} scores, {len(self.classes)} classes")
