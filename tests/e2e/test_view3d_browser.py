"""Traced neurons in a real browser: the page draws them, and they turn when a person drags."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser import browse
from morula.core.errors import DataError
from morula.core.tree import Tree
from morula.core.types import Voxel
from morula.data import write_labels, write_traces
from morula.workflows.view3d import view3d
from synthetic import traced_stack

pytestmark = pytest.mark.browser

SIZE = Voxel(z=3000.0, y=1000.0, x=1000.0)
DRAG = """<script>
const place = (name, x, y) => document.getElementById("view").dispatchEvent(
  new PointerEvent(name, {clientX: x, clientY: y, bubbles: true}));
place("pointerdown", 300, 300); place("pointermove", 380, 300); place("pointerup", 380, 300);
place("pointermove", 500, 300);
</script>"""


@pytest.fixture(scope="module")
def prediction(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("view") / "found"
    for seed in (0, 1):
        image, tree = traced_stack(seed)
        (folder / f"n{seed}").mkdir(parents=True)
        write_labels(folder / f"n{seed}" / "labels.tif", (image > 100).astype(np.uint8), voxel=SIZE)
        write_traces(folder / f"n{seed}", tree, SIZE)
    return folder


def root(document: str) -> dict[str, str]:
    found = re.search(r"<html[^>]*>", document)
    assert found is not None
    return dict(re.findall(r'data-(\w+)="([^"]*)"', found[0]))


def test_the_tree_is_drawn_and_turns_when_dragged(chromium, prediction, tmp_path):
    page = view3d(prediction)
    assert page == prediction / "view3d.html"
    text = page.read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "")
    document, log = browse(chromium, page, tmp_path / "profile", "--dump-dom")
    assert [line for line in log.splitlines() if "CONSOLE" in line] == []
    before = root(document)
    assert int(before["lines"]) == 5
    assert "<option>n1</option>" in document and "6 nodes, 3 tips" in document
    assert "64 x 48 x 30 µm" in document
    dragged = tmp_path / "dragged.html"
    dragged.write_text(text.replace("</body>", f"{DRAG}</body>"), encoding="utf-8")
    after = root(browse(chromium, dragged, tmp_path / "other", "--dump-dom")[0])
    assert float(after["yaw"]) - float(before["yaw"]) == pytest.approx(0.5, abs=1e-3)
    assert after["pitch"] == before["pitch"]


def test_something_is_on_the_screen(chromium, prediction, tmp_path):
    shot = tmp_path / "shot.png"
    browse(chromium, view3d(prediction, out=tmp_path / "v.html"), tmp_path / "p", f"--screenshot={shot}")
    pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    orange = (pixels[..., 0] > 150) & (pixels[..., 2] < 80)
    assert orange[80:].sum() > 200


def test_a_stack_without_a_neuron_is_left_out(prediction, tmp_path):
    shutil.copytree(prediction, tmp_path / "found")
    write_traces(tmp_path / "found" / "n1", Tree.of([], []), SIZE)
    assert "n1" not in view3d(tmp_path / "found").read_text(encoding="utf-8")


def test_a_folder_without_traces_is_refused(tmp_path):
    with pytest.raises(DataError, match="no traced neuron"):
        view3d(tmp_path)
