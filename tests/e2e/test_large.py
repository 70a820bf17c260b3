"""A volume whose maps would fill the memory: by blocks, and to the same files, whatever command it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from block_runs import neuron_run
from blocks import files_of
from commands import cli
from morula.blockwise.marks import Marks
from morula.core.types import Voxel
from morula.data import export, read_labels
from morula.tasks.neurons import Segmenter
from morula.workflows import blocks, large
from morula.workflows.predict import predict
from synthetic import neurites

VOXEL = Voxel(z=8.0, y=8.0, x=8.0)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "raw.tif", neurites(3, (16, 32, 40))[0], photometric="minisblack")
    return tmp_path / "raw.tif"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """All volumes are large, and are worked on in many blocks."""
    monkeypatch.setattr(large, "_MAPS", 0)
    monkeypatch.setattr(large, "VOXELS", 2**13)
    monkeypatch.setattr(blocks, "_SHARD", (8, 16, 16))


def refuse(self: Segmenter, volume: object) -> None:
    raise AssertionError("segmented in memory")


@pytest.mark.parametrize(("limit", "labels"), [(2**30, "labels.tif"), (1000, "labels.ome.zarr")])
def test_a_large_volume_gets_the_files_that_memory_would_give(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, labels: str, request
) -> None:
    monkeypatch.setattr(export, "_STORED", limit)
    run = neuron_run(tmp_path / "run")
    expected = predict(run, raw, out=tmp_path / "memory", voxel=VOXEL, device="cpu")
    request.getfixturevalue("small_blocks")
    monkeypatch.setattr(Segmenter, "__call__", refuse)
    found = predict(run, raw, out=tmp_path / "blocks", voxel=VOXEL, device="cpu")
    assert found.images == expected.images and found.objects > 1
    assert files_of(tmp_path / "blocks" / "raw") == files_of(tmp_path / "memory" / "raw")
    assert (tmp_path / "blocks" / "raw" / labels).exists()


def test_killed_and_repeated_it_goes_on_unless_the_model_is_another(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_blocks: None
) -> None:
    run, out, left = neuron_run(tmp_path / "run"), tmp_path / "out", 0
    done: list[tuple[str, int]] = []
    save = Marks.save

    def killed(self: Marks, index: int, told: dict) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        done.append((self.folder.name, index))
        save(self, index, told)

    def segmented() -> dict[str, bytes]:
        predict(run, raw, out=out, voxel=VOXEL, device="cpu")
        assert not (out / "raw.work").exists()
        return files_of(out / "raw")

    monkeypatch.setattr(Marks, "save", killed)
    for life in (2, 4, 6, 8):
        left = life
        with pytest.raises(KeyboardInterrupt):
            segmented()
        assert not (out / "raw").exists() and (out / "raw.work").exists()
    first = segmented()
    assert len(set(done)) == len(done) and {"predict", "contacts", "measure"} <= {step for step, _ in done}
    done.clear()
    assert segmented() == first and not done
    described = json.loads((run / "model" / "model.json").read_text())
    out, left = tmp_path / "other", 8
    with pytest.raises(KeyboardInterrupt):
        segmented()
    described["decoder"]["threshold"] = 0.1
    (run / "model" / "model.json").write_text(json.dumps(described))
    other = segmented()
    assert sorted(other) == sorted(first) and other["labels.tif"] != first["labels.tif"]


def test_a_run_segments_a_large_volume_by_blocks_and_says_what_it_left_out(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    small_blocks: None,
) -> None:  # fmt: skip
    monkeypatch.setattr(Segmenter, "__call__", refuse)
    out = tmp_path / "run"
    code, text, err = cli(
        capsys, "run", raw, "--recipe", "mscon", "--voxel-size", 10, 10, 10, "--preset", "smoke",
        "--out", out, "-q", "--json", "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    found = read_labels(out / "predictions" / "raw" / "labels.tif")
    assert found.shape == tifffile.imread(raw).shape
    assert json.loads(text)["images"] == {"raw": int(found.max())}
    assert np.array_equal(np.unique(found), np.arange(1, found.max() + 1))
    assert [path.name for path in (out / "predictions").iterdir()] == ["raw"]
    assert not list((out / "controls").glob("**/*.tif"))
    page = (out / "report" / "index.html").read_text()
    assert "No simpler method was run on raw" in page and "Largest neurons" in page
