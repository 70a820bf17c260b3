"""The page of sections: what it answers, what it refuses, and that it shows something in a real browser."""

from __future__ import annotations

import http.client
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser import browse
from morula.core.errors import DataError
from morula.core.types import Axes
from morula.data.ome_zarr import write_image, write_labels
from morula.workflows.view import open_view, serve
from server import running

GREY = np.random.default_rng(1).integers(0, 255, (7, 40, 60)).astype(np.uint8)
LABELS = np.zeros((7, 40, 60), np.uint32)
LABELS[3, 10:20, 10:30] = 5
LABELS[3, 10:20, 30:50] = 6


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("store") / "a.ome.zarr"
    write_image(path, GREY, Axes("zyx"))
    write_labels(path, "mito", LABELS, Axes("zyx"))
    return path


@pytest.fixture(scope="module")
def port(store) -> Iterator[int]:
    server = serve(open_view(store))
    assert server.server_address[0] == "127.0.0.1"
    with running(server) as port:
        yield port


def ask(port: int, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_sections_and_labels_are_what_is_stored(port):
    status, body = ask(port, "/image?z=3")
    shown = np.asarray(Image.open(io.BytesIO(body)))
    assert (
        status == 200 and shown.shape == (40, 60) and np.corrcoef(shown.ravel(), GREY[3].ravel())[0, 1] > 0.99
    )
    _, body = ask(port, "/labels?name=mito&z=3")
    colours = np.asarray(Image.open(io.BytesIO(body)))
    assert np.array_equal(colours[..., 3] > 0, LABELS[3] > 0)
    assert len(np.unique(colours[LABELS[3] > 0], axis=0)) == 2


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/zarr.json", "/0/c/0/0/0", "/labels?name=../../x&z=3", "/labels?name=mito&z=7",
     "/image?z=-1", "/image?z=a", "/image", "//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"],
)  # fmt: skip
def test_nothing_else_is_answered(port, path):
    assert ask(port, path)[0] == 404


def test_other_machines_and_other_names_are_refused(port):
    assert ask(port, "/", Host="evil.example")[0] == 403
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/", body=b"x")
    assert connection.getresponse().status == 501
    connection.close()


def test_an_image_of_another_size_is_refused(store, tmp_path):
    write_image(tmp_path / "b.zarr", GREY[:3], Axes("zyx"))
    with pytest.raises(DataError, match="3 x 40 x 60 voxels, but the labels mito have 7 x 40 x 60"):
        open_view(store, tmp_path / "b.zarr")
    with pytest.raises(DataError, match="no such file"):
        open_view(tmp_path / "c.zarr")


@pytest.mark.browser
def test_the_page_shows_a_section_with_its_labels(port, chromium, tmp_path):
    document, log = browse(chromium, f"http://127.0.0.1:{port}/?z=3", tmp_path, "--dump-dom")
    assert [line for line in log.splitlines() if "CONSOLE" in line] == []
    root = re.search(r"<html[^>]*>", document)
    assert root is not None and "data-broken" not in root[0]
    assert 'data-section="3"' in root[0] and 'data-image="60"' in root[0] and 'data-labels="60"' in root[0]
    assert "4 of 7" in document and "mito" in document
