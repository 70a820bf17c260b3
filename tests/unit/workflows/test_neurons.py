"""What is asked of a volume of neurons before a network sees it: order of axes and sizes, shape of voxels."""

from __future__ import annotations

from contextlib import nullcontext
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from rich.console import Console

from block_runs import neuron_run
from morula.core.config import override
from morula.core.errors import DataError, UsageError
from morula.core.files import write_json
from morula.core.types import Axes, Record, Volume, Voxel
from morula.recipes.mscon.config import MsconConfig
from morula.workflows.big import predict_big
from morula.workflows.neurons import (
    axes_doubts,
    check_contents,
    check_new,
    check_order,
    load_neurons,
    survey_neurons,
    why_neurons,
)
from morula.workflows.plan import plan
from morula.workflows.predict import predict
from morula.workflows.pretrain import pretrain
from volume_files import write_sections, write_tiff

CUBE, SLAB = Voxel(z=10, y=10, x=10), Voxel(z=40, y=4, x=4)


def volume(shape: tuple[int, int, int], voxel: Voxel | None = CUBE) -> Volume:
    return Volume(np.zeros(shape, np.uint8), Axes("zyx"), "a.tif", voxel=voxel)


def saved(folder: Path, shape: tuple[int, int, int], name: str = "raw.tif") -> Path:
    grey = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    tifffile.imwrite(folder / name, grey, photometric="minisblack")
    return folder / name


@pytest.mark.parametrize("size", [(4, 4, 40), (5, 40, 40), (10, 10, 18), (10, 18, 10), (5, 9.1, 9.1)])
def test_sizes_in_another_order_are_refused(size: tuple[float, float, float], tmp_path: Path) -> None:
    z, y, x = size
    voxel, raw = Voxel(z=z, y=y, x=x), saved(tmp_path, (4, 20, 20))
    with pytest.raises(UsageError, match=r"--voxel-size: as Z Y X"):
        check_order(volume((4, 20, 20), voxel), None)
    with pytest.raises(UsageError, match="Z Y X"):
        load_neurons(raw, None, voxel, None, None)
    with pytest.raises(UsageError, match="Z Y X"):
        pretrain("mscon", raw, out=tmp_path / "before", voxel=voxel)
    assert not (tmp_path / "before").exists()


@pytest.mark.parametrize(
    ("recipe", "preset", "told"),
    [
        (
            "mscon",
            None,
            "mscon, preset best: 600 steps of self-training; no pre-training, which --preset info-nce has",
        ),
        (
            "mscon",
            "info-nce",
            "mscon, preset info-nce: 600 steps of pre-training; no self-training, which --preset best has",
        ),
        ("dbmim", None, "dbmim, preset best: 600 steps of pre-training and 600 steps of self-training"),
    ],
)
def test_pre_training_tells_first_which_steps_there_are(
    recipe: str, preset: str | None, told: str, tmp_path: Path
) -> None:
    console = Console(file=StringIO(), width=200)
    with pytest.raises(DataError):
        pretrain(recipe, tmp_path / "none.tif", out=tmp_path / "before", preset=preset, console=console)
    assert console.file.getvalue().strip() == told  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(40, 4, 4), (10, 10, 10), (5, 9, 9), (8, 4.6, 4.7), None])
def test_sizes_that_sections_have_are_taken(size: tuple[float, float, float] | None) -> None:
    voxel = None if size is None else Voxel(z=size[0], y=size[1], x=size[2])
    check_order(volume((4, 20, 20), voxel), None)


@pytest.mark.parametrize(
    ("shape", "asked", "doubted"),
    [
        ((64, 64, 16), True, True),
        ((65, 64, 16), True, True),
        ((64, 64, 20), False, True),
        ((64, 64, 64), False, False),
        ((16, 64, 64), False, False),
        ((30, 64, 20), False, False),
        ((1000, 1250, 125), False, True),
        ((125, 1250, 1000), False, False),
    ],
)
def test_a_volume_that_is_no_stack_of_sections_is_asked_about(
    shape: tuple[int, int, int], asked: bool, doubted: bool
) -> None:
    assert bool(axes_doubts(shape, None)) == doubted
    assert not axes_doubts(shape, "zyx")
    check_order(volume(shape), "zyx")
    with pytest.raises(UsageError, match="--axes") if asked else nullcontext():
        check_order(volume(shape), None)


@pytest.mark.parametrize(
    ("shape", "voxel", "block", "doubted"),
    [
        ((30, 40, 40), CUBE, None, False),
        ((12, 40, 40), CUBE, None, True),
        ((12, 40, 40), SLAB, None, False),
        ((30, 40, 40), CUBE, (4, 40, 40), True),
        ((30, 40, 40), CUBE, (20, 40, 40), False),
        ((30, 40, 40), SLAB, (4, 40, 40), False),
    ],
)
def test_thin_volumes_and_blocks_of_cubes_are_doubted(
    shape: tuple[int, int, int],
    voxel: Voxel,
    block: tuple[int, int, int] | None,
    doubted: bool,
    tmp_path: Path,
) -> None:
    labels = None
    if block is not None:
        labels = tmp_path / "ids.tif"
        ids = np.arange(np.prod(block)).reshape(block).astype(np.uint16) % 9 + 1
        tifffile.imwrite(labels, ids, photometric="minisblack")
    offset = None if block is None else (0, 0, 0)
    record = load_neurons(saved(tmp_path, shape), labels, voxel, offset, None)
    _, doubts = why_neurons(record, survey_neurons(record, None), "mscon", MsconConfig(), asked=True)
    assert any("sections deep" in each for each in doubts) == doubted


@pytest.mark.parametrize(
    ("voxel", "changes", "told", "doubted"),
    [
        (CUBE, {}, "Voxels are about as deep as wide: z is an axis like the others.", ""),
        (SLAB, {}, "Voxels are deeper than wide: fragments are flooded section by section.", ""),
        (
            CUBE,
            {"network": {"geometry": "sections"}},
            "Voxels count as deeper than wide, for network.geometry is sections: fragments are flooded",
            "Voxels of 10 10 10 nm are about as deep as wide, but the network takes them for deeper",
        ),
        (
            SLAB,
            {"network": {"geometry": "isotropic"}},
            "Voxels count as about as deep as wide, for network.geometry is isotropic: z is an axis like the",
            "Voxels of 40 4 4 nm are deeper than wide, but the network takes them for about as deep as wide",
        ),
        (
            SLAB,
            {"network": {"geometry": "sections"}, "decode": {"fragments": "volume"}},
            "is sections, but fragments are flooded in the volume, for decode.fragments is volume.",
            "",
        ),
        (
            CUBE,
            {"decode": {"fragments": "sections"}},
            "Voxels are about as deep as wide, but fragments are flooded section by section, for decode.frag",
            "",
        ),
        (None, {}, "Voxels are deeper than wide: fragments", "sections are taken to be thick"),
        (
            None,
            {"network": {"geometry": "isotropic"}},
            "Voxels count as about as deep as wide, for network.geometry",
            "No voxel size is known: volumes are in voxels.",
        ),
    ],
)
def test_the_plan_tells_the_shape_that_the_network_goes_by(
    voxel: Voxel | None, changes: dict, told: str, doubted: str
) -> None:
    record = Record("a", volume((30, 40, 40), voxel))
    facts, config = survey_neurons(record, None), override(MsconConfig(), changes)
    reasons, doubts = why_neurons(record, facts, "mscon", config, asked=True)
    assert any(told in each for each in reasons)
    assert len(doubts) == bool(doubted) and all(doubted in each for each in doubts)


@pytest.mark.parametrize("recipe", ["mscon", "dbmim"])
def test_a_preset_for_sections_is_doubted_on_cubes(recipe: str, tmp_path: Path) -> None:
    raw = saved(tmp_path, (30, 40, 40))
    paper = plan(raw, voxel=CUBE, recipe=recipe, preset="paper")
    assert any("network.geometry is sections" in each for each in paper.warnings)
    assert not any("an axis like the others" in each for each in paper.reasons)
    assert not plan(raw, voxel=SLAB, recipe=recipe, preset="paper").warnings


@pytest.mark.parametrize("voxel", [SLAB, "unknown", None])
def test_voxels_of_another_shape_than_the_run_knows_are_refused(voxel: Voxel | None, tmp_path: Path) -> None:
    run, raw = neuron_run(tmp_path / "run"), saved(tmp_path, (4, 20, 20))
    with pytest.raises(DataError, match=r"raw\.tif: its voxels .* deeper than wide, but the run"):
        predict(run, raw, out=tmp_path / "found", voxel=voxel, device="cpu")
    with pytest.raises(DataError, match="about as deep as wide"):
        predict_big(run, raw, out=tmp_path / "found.zarr", voxel=voxel, device="cpu")
    assert not list(tmp_path.glob("found*"))


def test_voxels_of_another_size_than_the_run_knows_are_told(tmp_path: Path) -> None:
    run, raw = neuron_run(tmp_path / "run"), saved(tmp_path, (4, 20, 20))
    write_json(run / "data.json", {"a": {"nm": [10, 10, 10]}, "b": {"nm": None}})
    for edge, told in ((12, False), (16, True), (6, True)):
        size = Voxel(z=edge, y=edge, x=edge)
        assert (
            any("trained at 10 10 10 nm" in each for each in check_new(run, volume((4, 20, 20), size), None))
            == told
        )
    said = StringIO()
    given = {"voxel": size, "device": "cpu", "console": Console(file=said, width=400)}
    predict(run, raw, out=tmp_path / "found", **given)
    assert "trained at 10 10 10 nm" in said.getvalue()


def test_towers_are_asked_about_before_they_are_segmented_by_blocks(tmp_path: Path) -> None:
    run, tower = neuron_run(tmp_path / "run"), saved(tmp_path, (64, 16, 16))
    out = tmp_path / "found.zarr"
    with pytest.raises(UsageError, match=r"--axes: .*by far the longest along z"):
        predict_big(run, tower, out=out, voxel=CUBE, device="cpu")
    with pytest.raises(UsageError, match=r"--axes: .*z, y, x alone"):
        predict_big(run, tower, out=out, voxel=CUBE, axes="xyz", device="cpu")
    assert predict_big(run, tower, out=out, voxel=CUBE, axes="zyx", device="cpu", dry_run=True).dry


@pytest.mark.parametrize("option", [{"label_offset": (0, 0, 0)}, {"axes": "xyz"}])
def test_a_volume_that_is_not_there_is_named_before_its_options_are(option: dict, tmp_path: Path) -> None:
    labels = saved(tmp_path, (4, 20, 20), "ids.tif")
    with pytest.raises(DataError, match=r"typo\.tif: no such file"):
        plan(tmp_path / "typo.tif", labels=labels, **option)


@pytest.mark.parametrize("value", [0, 7])
def test_a_volume_that_shows_nothing_is_refused(value: int, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "raw.tif", np.full((4, 20, 20), value, np.uint8), photometric="minisblack")
    with pytest.raises(DataError, match=f"raw.tif: every voxel is {value}"):
        load_neurons(tmp_path / "raw.tif", None, "unknown", None, None)
    with pytest.raises(DataError, match=f"every voxel is {value}"):
        pretrain("mscon", tmp_path / "raw.tif", out=tmp_path / "run", voxel="unknown")
    with pytest.raises(DataError, match=f"every voxel is {value}"):
        predict(neuron_run(tmp_path / "run"), tmp_path / "raw.tif", out=tmp_path / "found", voxel=CUBE)
    assert not (tmp_path / "found").exists()


def test_one_bright_voxel_is_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("morula.workflows.neurons.sample", lambda image: np.zeros(1))
    values = np.zeros((4, 20, 20), np.uint8)
    values[2, 3, 4] = 1
    check_contents(Volume(values, Axes("zyx"), "a.tif"))


def test_a_pre_training_says_that_it_has_no_model(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"recipe": "mscon"})
    with pytest.raises(DataError, match=r"a pre-training.*morula train mscon VOLUME .*--weights"):
        predict(tmp_path, tmp_path, out=tmp_path / "found")
    write_json(tmp_path / "plan.json", {})
    with pytest.raises(DataError, match="its training is not finished"):
        predict(tmp_path, tmp_path, out=tmp_path / "found")


def test_a_pre_training_takes_a_plan_as_its_config(tmp_path: Path) -> None:
    raw, file = saved(tmp_path, (4, 20, 20)), tmp_path / "plan.toml"
    given = {"out": tmp_path / "run", "voxel": SLAB, "config": file}
    file.write_text('recipe = "mscon"\npreset = "scratch"\n[config.finetune]\nsteps = 3\n')
    with pytest.raises(UsageError, match="scratch has no step of pre-training"):
        pretrain("mscon", raw, **given)
    with pytest.raises(UsageError, match="says recipe mscon, but dbmim was asked for"):
        pretrain("dbmim", raw, **given)
    file.write_text("[config]\npretrain.step = 5\n")
    with pytest.raises(UsageError, match=r"plan\.toml pretrain\.step: there is no such key"):
        pretrain("mscon", raw, **given)
    assert not (tmp_path / "run").exists()


SECTIONED: list[tuple[dict, str]] = [
    ({"voxel": CUBE}, "stack"),
    ({"voxel": CUBE}, "sections"),
    ({"voxel": "unknown"}, "stack"),
    ({"voxel": "unknown", "label_offset": (0, 0, 0)}, "sections"),
    ({"voxel": "unknown", "axes": "zyx"}, "sections"),
]


@pytest.mark.parametrize(("told", "labels"), SECTIONED)
def test_a_folder_of_sections_is_a_volume_where_somebody_says_so(
    told: dict, labels: str, tmp_path: Path
) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (30, 40, 40), dtype=np.uint8)
    save = write_tiff if labels == "stack" else write_sections
    ids = save(tmp_path / ("ids.tif" if labels == "stack" else "ids"), grey // 64 + 1)
    raw = write_sections(tmp_path / "sections", grey)
    made = plan(raw, labels=ids, **told)
    assert (made.recipe, made.records[0].id, made.records[0].image.shape) == ("mscon", "sections", grey.shape)


def test_a_folder_of_images_stays_one_where_nobody_does(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (3, 40, 40), dtype=np.uint8)
    raw = write_sections(tmp_path / "images", grey)
    labels = write_sections(tmp_path / "labels", (np.arange(3200).reshape(2, 40, 40) // 400).astype(np.uint8))
    assert plan(raw, labels=labels, voxel=Voxel(y=10, x=10)).recipe == "cupre"
    with pytest.raises(DataError, match="one label file for 3 images"):
        plan(raw, labels=labels / "s0.png")
