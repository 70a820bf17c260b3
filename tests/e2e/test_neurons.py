"""Neurons as a user gets them: one volume, a labelled block, one command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from safetensors.numpy import load_file

from commands import cli
from morula.core.types import Axes, Voxel
from morula.data import export, predicted_labels, read_labels
from morula.data.ome_zarr import write_image
from morula.metrics import neuron_scores
from morula.tasks.neurons import parted
from synthetic import neurites


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A volume, labels of a block of it, and the same as large as the volume, with zeros around the block."""
    folder = tmp_path_factory.mktemp("scene")
    image, labels = neurites(0)
    whole = np.zeros_like(labels)
    whole[4:20, :40, 8:56] = labels[4:20, :40, 8:56]
    paths = {"raw": image, "block": labels[4:20, :40, 8:56], "whole": whole}
    for name, array in paths.items():
        tifffile.imwrite(folder / f"{name}.tif", array, photometric="minisblack")
        (folder / "xyz").mkdir(exist_ok=True)
        tifffile.imwrite(folder / "xyz" / f"{name}.tif", array.T, photometric="minisblack")
    named = {name: folder / f"{name}.tif" for name in paths}
    return named | {f"{name} xyz": folder / "xyz" / f"{name}.tif" for name in paths}


def test_a_store_is_a_volume_like_a_file(
    scene: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(
        tmp_path / "raw.ome.zarr", tifffile.imread(scene["raw"]), Axes("zyx"), Voxel(z=10, y=10, x=10)
    )
    placed = ["--label-offset", 4, 0, 8, "--labels", scene["block"], "--json"]
    code, text, err = cli(capsys, "plan", tmp_path / "raw.ome.zarr", *placed)
    assert code == 0, err
    found = json.loads(text)
    code, text, err = cli(capsys, "plan", scene["raw"], *placed, "--voxel-size", 10, 10, 10)
    assert code == 0, err
    expected = json.loads(text)
    assert found["recipe"] == "mscon" and found["facts"] == expected["facts"]


@pytest.mark.parametrize(
    ("recipe", "turned", "asked", "limit"),
    [("mscon", "", [], 2**30), ("dbmim", " xyz", ["--recipe", "dbmim", "--axes", "xyz"], 1000)],
)
def test_a_block_becomes_a_segmented_volume_a_score_and_a_report(
    scene: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    recipe: str,
    turned: str,
    asked: list[str],
    limit: int,
) -> None:
    monkeypatch.setattr(export, "_STORED", limit)
    out = tmp_path / "run"
    placed = ["--labels", scene[f"block{turned}"], "--label-offset", 4, 0, 8, "--voxel-size", 10, 10, 10]
    code, text, err = cli(
        capsys, "run", scene[f"raw{turned}"], *placed, *asked, "--out", out, "--preset", "smoke", "-q",
        "--json", "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    result = json.loads(text)
    assert result["recipe"] == recipe
    assert set(result["scores"]) >= {"voi", "voi_split", "voi_merge", "are"}
    place = predicted_labels(out / "predictions" / "raw")
    assert place.name == ("labels.tif" if limit > 1000 else "labels.ome.zarr")
    found = read_labels(place)
    assert found.shape == tifffile.imread(scene["raw"]).shape
    assert found.min() == 1
    page = (out / "report" / "index.html").read_text()
    for part in (
        "Neurons in raw.tif",
        "Threshold",
        "Affinities",
        "Largest neurons",
        "grey values",
        "did not learn from",
        "on the validation part",
        "The labels lie in the box z 4 to 19, y 0 to 39, x 8 to 55",
    ):
        assert part in page
    assert "--label-offset 4 0 8" in page
    assert "All images have labels" not in page and "against labels of" not in page
    assert "finetune.budgets=[0.1,0.25,0.5]" in page
    assert "voi_border" in page and "watershed of the grey values” (" in page
    assert ("--axes xyz" in page) == bool(turned)
    assert json.loads((out / "data.json").read_text())["raw"]["box"] == [[4, 20], [0, 40], [8, 56]]
    tuned = json.loads((out / "5-tune" / "done.json").read_text())
    code, text, err = cli(
        capsys, "agglomerate", out / "5-tune" / "affinities.h5", "--out", tmp_path / "joined.tif",
        "--threshold", tuned["threshold"], "--json",
    )  # fmt: skip
    assert code == 0, err
    joined, labels = tifffile.imread(tmp_path / "joined.tif"), tifffile.imread(scene["block"])
    assert json.loads(text)["neurons"] == joined.max()
    kept = parted(labels[:, :, -12:])
    assert neuron_scores(joined, kept)["voi"] == pytest.approx(result["scores"]["voi"])
    other = "raw xyz" if not turned else "raw"
    axes = ["--axes", "xyz"] if not turned else []
    code, _, err = cli(
        capsys, "predict", out, scene[other], "--out", tmp_path / "again", "--voxel-size", 10, 10, 10, *axes,
        "-q", "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    assert np.array_equal(read_labels(predicted_labels(tmp_path / "again" / "raw")), found)


def test_the_loss_is_chosen_on_the_command_line(
    scene: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [
        "run", scene["raw"], "--labels", scene["block"], "--label-offset", 4, 0, 8,
        "--voxel-size", 10, 10, 10, "--recipe", "mscon", "--preset", "scratch",
        "--set", "finetune.loss=malis", "--set", "finetune.steps=3", "--set", "finetune.batch=1",
        "--set", "finetune.crop=[8,16,16]", "--set", "network.widths=[4,6]",
        "--out", tmp_path / "run", "-q", "--json", "--device", "cpu",
    ]  # fmt: skip
    code, _, err = cli(capsys, *asked)
    assert code == 2 and "finetune.loss" in err and "--set network.offsets=nearest" in err
    code, text, err = cli(capsys, *asked, "--set", "network.offsets=nearest", "--overwrite")
    assert code == 0, err
    assert json.loads(text)["scores"]["voi"] > 0


def test_a_volume_without_labels_is_segmented_and_nothing_is_claimed(
    scene: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    code, text, err = cli(
        capsys, "run", scene["raw"], "--recipe", "mscon", "--voxel-size", 10, 10, 10, "--preset", "smoke",
        "--out", out, "-q", "--json", "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    result = json.loads(text)
    assert (result["scores"], list(result["images"])) == (None, ["raw"])
    found = read_labels(out / "predictions" / "raw" / "labels.tif")
    assert found.shape == tifffile.imread(scene["raw"]).shape
    assert found.max() == result["objects"] > 0
    assert not (out / "scores").exists()
    page = (out / "report" / "index.html").read_text()
    said = (
        "Neurons in raw.tif",
        "Self-training",
        "No label is given",
        "is not known",
        "a block of the volume",
    )
    assert [part for part in said if part not in page] == []
    assert "Fragments are joined while" not in page and "labels trained the network" not in page
    (command,) = (line for line in page.splitlines() if f"{out}-again" in line)
    assert "--voxel-size 10 10 10" in command and "--labels" not in command


@pytest.mark.parametrize("recipe", ["dbmim", "mscon"])
def test_a_pre_training_without_labels_is_what_a_training_starts_from(
    scene: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], recipe: str
) -> None:
    size = ["--voxel-size", 10, 10, 10, "-q", "--device", "cpu", "--preset", "smoke"]
    before, after = tmp_path / "before", tmp_path / "after"
    code, _, err = cli(capsys, "pretrain", recipe, scene["raw"], "--out", before, *size)
    assert code == 0, err
    placed = ["--labels", scene["block"], "--label-offset", 4, 0, 8]
    start = ["--weights", before, "--set", "finetune.lr=1e-12", "--set", "finetune.average=0"]
    code, _, err = cli(capsys, "train", recipe, scene["raw"], *placed, *size, *start, "--out", after)
    assert code == 0, err
    assert [path.name for path in sorted(after.glob("[0-9]-*"))] == ["1-weights", "2-finetune", "3-tune"]
    made = load_file(before / "3-self-training-2" / "network.safetensors")
    used = load_file(after / "model" / "network.safetensors")
    assert [name for name in made if not np.allclose(made[name], used[name], atol=1e-6)] == []
    wrong = ["--weights", before, "--set", "network.widths=[8, 16]", "--out", tmp_path / "wrong"]
    code, _, err = cli(capsys, "train", recipe, scene["raw"], *placed, *size, *wrong)
    assert (code, "widths [8, 12], not [8, 16]" in err) == (2, True)
    wrong = ["--weights", tmp_path, "--out", tmp_path / "none"]
    code, _, err = cli(capsys, "train", recipe, scene["raw"], *placed, *size, *wrong)
    assert (code, "no weights in this folder" in err) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["psm", "raw", "--voxel-size", 10, 10, 10], "choose one of dbmim, mscon"),
        (["mscon", "raw"], "--voxel-size"),
        (["mscon", "raw", "--voxel-size", 10, 10, 10, "--preset", "scratch"], "no step of pre-training"),
        (["mscon", "raw", "--voxel-size", 10, 10, 10, "--preset", "none"], "no preset"),
    ],
)
def test_a_pre_training_that_cannot_be_is_refused(
    scene: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[object],
    message: str,
) -> None:
    given = [scene.get(str(each), each) for each in arguments]
    code, _, err = cli(capsys, "pretrain", *given, "--out", tmp_path / "run")
    assert (code, message in err) == (2, True)
    assert not (tmp_path / "run").exists()


def test_stores_are_volumes_too(
    scene: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("raw", "whole"):
        chunk = (8, 24, 28)
        array = tifffile.imread(scene[name])
        write_image(tmp_path / f"{name}.ome.zarr", array, Axes("zyx"), chunks=chunk, shards=chunk)
    size = ["--voxel-size", 10, 10, 10, "--json"]
    _, one, _ = cli(capsys, "plan", scene["raw"], "--labels", scene["whole"], *size)
    stores = [tmp_path / "raw.ome.zarr", "--labels", tmp_path / "whole.ome.zarr"]
    code, other, err = cli(capsys, "plan", *stores, *size)
    assert code == 0, err
    assert json.loads(one)["recipe"] == json.loads(other)["recipe"] == "mscon"
    assert json.loads(one)["facts"] == json.loads(other)["facts"]


def test_both_ways_to_name_a_block_plan_the_same(
    scene: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--voxel-size", 10, 10, 10, "--json"]
    block = ["--labels", scene["block"], "--label-offset", 4, 0, 8]
    _, one, _ = cli(capsys, "plan", scene["raw"], *block, *size)
    _, other, _ = cli(capsys, "plan", scene["raw"], "--labels", scene["whole"], *size)
    first, second = json.loads(one), json.loads(other)
    assert first["recipe"] == second["recipe"] == "mscon"
    assert first["facts"]["block"] == second["facts"]["block"]
    assert first["facts"]["neurons"] == second["facts"]["neurons"] > 1
    assert "labelled" in first["reasons"][0]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--labels", "block", "--label-offset", 4, 0, 8], 2, "--voxel-size"),
        (["--labels", "block", "--voxel-size", 10, 10, 10], 2, "--label-offset"),
        (
            ["--labels", "block", "--voxel-size", 10, 10, 10, "--label-offset", 20, 0, 0],
            2,
            "leaves the volume",
        ),
        (["--labels", "block", "--voxel-size", 10, 10, 10, "--label-offset", 4, 0], 2, "is not a point"),
        (["--labels", "block", "--voxel-size", 10, 10, 10, "--label-offset", 4, 0.5, 1], 2, "is not a voxel"),
        (["--recipe", "mscon"], 2, "--voxel-size"),
        (["--recipe", "mscon", "--voxel-size", 10, 10, 10, "--label-offset", 4, 0, 8], 2, "--labels"),
        (["--labels", "block", "--label-offset", 0, 0, 0, "--recipe", "psm"], 2, "--label-offset"),
        ([], 3, "--labels"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    scene: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[object],
    code: int,
    message: str,
) -> None:
    given = [scene.get(str(each), each) for each in options]
    found, _, err = cli(capsys, "run", scene["raw"], *given, "--out", tmp_path / "run")
    assert found == code, err
    assert message in err
    assert "Fix:" in err
    assert not (tmp_path / "run").exists()


def test_a_tower_of_sections_is_asked_about(
    scene: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--voxel-size", 10, 10, 10]
    tifffile.imwrite(
        tmp_path / "tower.tif", np.indices((90, 20, 20)).sum(0, np.uint8), photometric="minisblack"
    )
    block = np.ones((90, 20, 20), np.uint8)
    block[:45] = 2
    tifffile.imwrite(tmp_path / "block.tif", block, photometric="minisblack")
    given = ["plan", tmp_path / "tower.tif", "--labels", tmp_path / "block.tif", *size]
    code, _, err = cli(capsys, *given)
    assert (code, "--axes" in err, "90 x 20 x 20" in err, "Fix:" in err) == (2, True, True, True)
    code, text, _ = cli(capsys, *given, "--axes", "xyz", "--json")
    assert code == 0
    assert json.loads(text)["facts"]["largest"] == [20, 20, 90]
    code, text, _ = cli(capsys, *given, "--axes", "zyx", "--json")
    assert (code, json.loads(text)["facts"]["largest"]) == (0, [90, 20, 20])
    before = ["pretrain", "mscon", tmp_path / "tower.tif", *size, "--out", tmp_path / "before"]
    code, _, err = cli(capsys, *before)
    assert (code, "--axes" in err) == (2, True)
    turned = ["--labels", scene["block xyz"], "--label-offset", 4, 0, 8, *size, "--json"]
    _, text, _ = cli(capsys, "plan", scene["raw xyz"], "--labels", scene["whole xyz"], *size, "--json")
    assert any("--axes" in each for each in json.loads(text)["warnings"])
    _, text, _ = cli(capsys, "plan", scene["raw xyz"], *turned, "--axes", "xyz")
    assert not any("--axes" in each for each in json.loads(text)["warnings"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no labelled block"),
        (["--recipe", "psm"], "no labelled block"),
        (["--axes", "abc"], "abc"),
    ],
)
def test_axes_without_a_block_are_refused(
    scene: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    code, _, err = cli(capsys, "plan", scene["raw"].parent / "xyz", "--axes", "zyx", *options)
    assert (code, message in err) == (2, True)
