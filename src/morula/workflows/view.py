"""A read-only page on this machine alone that pages through sections, labels over the image."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

from morula.core.errors import DataError, times
from morula.core.types import Array, Volume
from morula.data import open_ome_zarr, open_volume
from morula.data.hdf5 import split_key
from morula.data.ome_zarr import is_ome_zarr, read_multiscale
from morula.data.ome_zarr.store import opened_group

__all__ = ["View", "open_view", "serve"]

_HOME = "127.0.0.1"
_WIDEST = 1024  # pixels of a section on the page
_TAILS = (0.5, 99.5)  # percent
_SPREAD = 2654435761  # Knuth's multiplier: neighbouring labels get unlike colours


@dataclass(frozen=True)
class View:
    """What is shown, each layer at the level that fits on a screen.

    Attributes:
        sections: how many there are to page through.
        image: below.
        range: of grey, what is black and what is white.
        labels: above, by name.
        told: where it comes from.
    """

    sections: int
    image: Volume
    range: tuple[float, float]
    labels: Mapping[str, Volume]
    told: str

    def describe(self) -> dict[str, Any]:
        """What the page needs to know."""
        return {"sections": self.sections, "labels": list(self.labels), "told": self.told}

    def picture(self, z: int) -> bytes:
        """A section of the image as PNG."""
        low, high = self.range
        unit = (_plane(self.image, z, self.sections).astype(np.float32) - low) / (high - low)
        return _png(np.round(np.clip(unit, 0, 1) * 255).astype(np.uint8))

    def overlay(self, name: str, z: int) -> bytes:
        """A section of labels as PNG, a colour for each object, nothing where there is none.

        Raises:
            KeyError: there are no labels of this name.
        """
        labels = _plane(self.labels[name], z, self.sections).astype(np.uint64)
        mixed = labels * np.uint64(_SPREAD) % np.uint64(2**32)
        colours = [(mixed >> np.uint64(shift)) % np.uint64(192) + np.uint64(64) for shift in (0, 8, 16)]
        alpha = np.where(labels > 0, 140, 0)
        return _png(np.stack([*colours, alpha], axis=-1).astype(np.uint8))


def open_view(store: str | Path, image: str | Path | None = None) -> View:
    """What there is to see in a store.

    Args:
        store: OME-Zarr, with labels or without.
        image: what is shown below the labels; by default what they were made of, if it is still there, else
            the store's own image.

    Raises:
        DataError: no OME-Zarr, or an image of another size than the labels.
    """
    store = str(store).rstrip("/")
    group = opened_group(store)
    attributes = dict(group["labels"].attrs) if "labels" in group else {}
    names = attributes.get("ome", attributes).get("labels", [])
    made_of = dict(group.attrs).get("morula", {}).get("source")
    below = str(image or (made_of if made_of and split_key(Path(made_of))[0].exists() else store))
    whole = open_volume(below)
    size = whole.spatial_shape[-3:]
    for name in names:
        other = open_ome_zarr(f"{store}/labels/{name}").spatial_shape
        if other != size:
            found = f"{times(size)} voxels, but the labels {name} have {times(other)}"
            raise DataError(below, found, "name the image that they were made of with --image")
    shown = _fitting(below)
    sections = size[0] if len(size) == 3 else 1
    low, high = (float(each) for each in np.percentile(_plane(shown, sections // 2, sections), _TAILS))
    labels = {str(name): _fitting(f"{store}/labels/{name}") for name in names}
    return View(sections, shown, (low, max(high, low + 1e-6)), labels, f"{store} over {below}")


def serve(view: View, port: int = 0) -> ThreadingHTTPServer:
    """A server on 127.0.0.1 that answers for the page, its sections and nothing else; no path is ever opened.

    Args:
        view: what is shown.
        port: 0 for any that is free.

    Raises:
        OSError: the port is taken.
    """
    return ThreadingHTTPServer((_HOME, port), partial(_Handler, view))


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, view: View, *arguments: Any) -> None:
        self._view = view
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Answers for `/`, `/view.json`, `/image?z=` and `/labels?name=&z=`."""
        if self.headers.get("Host", "").partition(":")[0] not in {_HOME, "localhost"}:
            self._answer(403, "text/plain", b"only this machine is answered")
            return
        try:
            self._answer(200, *self._found(*urlsplit(self.path)[2:4]))
        except (KeyError, ValueError, IndexError):
            self._answer(404, "text/plain", b"there is no such section")

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: a terminal is no access log."""

    def _found(self, path: str, query: str) -> tuple[str, bytes]:
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        if path == "/":
            return "text/html; charset=utf-8", files("morula.workflows").joinpath("view.html").read_bytes()
        if path == "/view.json":
            return "application/json", json.dumps(self._view.describe()).encode()
        if path == "/image":
            return "image/png", self._view.picture(int(asked["z"]))
        if path == "/labels":
            return "image/png", self._view.overlay(asked["name"], int(asked["z"]))
        raise KeyError(path)

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header(
            "Content-Security-Policy", "default-src 'self' 'unsafe-inline'; img-src 'self' data:"
        )
        self.end_headers()
        self.wfile.write(body)


def _fitting(path: str) -> Volume:
    """The finest level of an image whose sections fit on the page."""
    if not is_ome_zarr(path):
        return open_volume(path)
    try:
        count = len(read_multiscale(path).levels)
    except DataError:  # the array of one level
        return open_ome_zarr(path)
    levels = (open_ome_zarr(path, level=number) for number in range(count))
    return next(
        (each for each in levels if max(each.shape[-2:]) <= _WIDEST), open_ome_zarr(path, level=count - 1)
    )


def _plane(volume: Volume, z: int, sections: int) -> Array:
    """The section of a level at the place of one of the whole, thinned for the page; the first channel."""
    if not 0 <= z < sections:
        raise IndexError(z)
    key: tuple[Any, ...] = (0,) if volume.axes.has_channels else ()
    if "z" in volume.axes.order:
        key += (z * volume.spatial_shape[0] // sections,)
    step = -(-max(volume.shape[-2:]) // _WIDEST)
    return volume[key][::step, ::step]


def _png(pixels: Array) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
