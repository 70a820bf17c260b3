"""`select` on files: what a candidate is, what it says, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage as ndi

import morula
from em_scene import blobs, save_stack
from morula.core.errors import DataError
from morula.core.types import Array, Voxel

CROSS = ndi.generate_binary_structure(2, 1)[None]


@pytest.fixture(scope="module")
def scene() -> tuple[Array, Array, Array]:
    """An image, its truth, and labels of another image."""
    return (*blobs(0), blobs(7)[1])


def spoiled(truth: Array) -> dict[str, Array]:
    """Segmentations from good to bad."""
    labels, count = ndi.label(truth)
    return {
        "thick": ndi.binary_dilation(truth, CROSS, 2),
        "half": np.isin(labels, np.arange(1, count + 1, 2)),
        "moved": np.roll(truth, (11, 13), (1, 2)),
        "rough": truth
        ^ (ndi.gaussian_filter(np.random.default_rng(0).normal(size=truth.shape), (0, 1, 1)) > 0.45),
        "empty": truth & False,
        "full": truth | True,
    }


def test_ranks_files_and_says_why(tmp_path: Path, scene: tuple[Array, Array, Array]) -> None:
    image, truth, source = scene
    for name, mask in {"fine": truth, **spoiled(truth)}.items():
        save_stack(tmp_path / "candidates" / f"{name}.tif", mask)
    prior = save_stack(tmp_path / "prior.tif", source)
    save_stack(tmp_path / "image.tif", image)
    found = morula.select(tmp_path / "candidates", prior=prior, images=tmp_path / "image.tif")
    names = [entry["name"] for entry in found["ranking"]]
    assert names[0] == "fine"
    assert set(names[-2:]) == {"empty", "full"}
    assert names.index("thick") < names.index("moved")
    assert not found["abstain"]
    assert found["why"].startswith("fine is best")
    scores = [entry["score"] for entry in found["ranking"]]
    assert scores == sorted(scores, reverse=True)
    for entry in found["ranking"]:
        told = sum(term["penalty"] for term in entry["terms"].values())
        assert entry["score"] == pytest.approx(-told, abs=1e-3)
        assert entry["plausible"] == (not entry["objections"])
    assert {"predictability", "edges", "solidity", "area", "dissent"} <= set(found["ranking"][0]["terms"])


def test_candidates_may_be_runs_folders_of_volumes_or_of_sections(
    tmp_path: Path, scene: tuple[Array, Array, Array]
) -> None:
    _, truth, source = scene
    prior = save_stack(tmp_path / "prior" / "labels.tif", source).parent
    root = tmp_path / "candidates"
    save_stack(root / "run" / "predictions" / "stack" / "labels.tif", truth)
    save_stack(root / "plain" / "stack" / "labels.tif", truth)
    save_stack(root / "volume" / "any_name.tif", truth)
    (root / "sections").mkdir()
    for z, section in enumerate(truth):
        Image.fromarray(section.astype(np.uint8) * 255).save(root / "sections" / f"s{z}.png")
    ranking = morula.select(root, prior=prior)["ranking"]
    assert [entry["name"] for entry in ranking] == ["plain", "run", "sections", "volume"]
    assert len({entry["score"] for entry in ranking}) == 1


def test_several_stems_are_judged_together(tmp_path: Path, scene: tuple[Array, Array, Array]) -> None:
    image, truth, source = scene
    root = tmp_path / "candidates"
    for name, mask in {"fine": truth, "half": spoiled(truth)["half"]}.items():
        save_stack(root / name / "a.tif", mask[:2])
        save_stack(root / name / "b.tif", mask[2:])
    for name, part in {"a": image[:2], "b": image[2:]}.items():
        save_stack(tmp_path / "images" / f"{name}.tif", part)
    prior = save_stack(tmp_path / "prior.tif", source)
    found = morula.select(root, prior=prior, images=tmp_path / "images")
    assert [entry["name"] for entry in found["ranking"]] == ["fine", "half"]
    (tmp_path / "images" / "b.tif").unlink()
    with pytest.raises(DataError, match="no image for the labels b"):
        morula.select(root, prior=prior, images=tmp_path / "images")


def test_abstains_where_nothing_is_plausible(tmp_path: Path, scene: tuple[Array, Array, Array]) -> None:
    _, truth, source = scene
    wrong = {name: spoiled(truth)[name] for name in ("empty", "full")}
    wrong["noise"] = np.random.default_rng(0).random(truth.shape) < 0.5
    wrong["dust"] = np.random.default_rng(0).random(truth.shape) < 0.03
    wrong["huge"] = np.zeros_like(truth)
    wrong["huge"][:, 10:60, 10:60] = wrong["huge"][:, 70:120, 50:100] = True
    for name, mask in wrong.items():
        save_stack(tmp_path / "candidates" / f"{name}.tif", mask)
    found = morula.select(tmp_path / "candidates", prior=save_stack(tmp_path / "prior.tif", source))
    assert found["abstain"]
    assert found["why"].startswith("no candidate is plausible")
    assert all(entry["objections"] for entry in found["ranking"])


def test_voxel_sizes_decide_what_size_is_right(tmp_path: Path, scene: tuple[Array, Array, Array]) -> None:
    _, truth, source = scene
    save_stack(tmp_path / "candidates" / "fine.tif", truth)
    prior = save_stack(tmp_path / "prior.tif", source)

    def area(voxel: Voxel, prior_voxel: Voxel) -> float:
        found = morula.select(tmp_path / "candidates", prior=prior, voxel=voxel, prior_voxel=prior_voxel)
        return found["ranking"][0]["terms"]["area"]["penalty"]

    same = area(Voxel(5, 5, 40), Voxel(5, 5, 40))
    assert area(Voxel(10, 10, 40), Voxel(5, 5, 40)) > same + 1


def test_depths_of_sections_decide_which_of_them_should_overlap(
    tmp_path: Path, scene: tuple[Array, Array, Array]
) -> None:
    truth = scene[1]
    save_stack(tmp_path / "candidates" / "fine.tif", truth)
    prior = save_stack(tmp_path / "prior.tif", truth.repeat(4, axis=0))

    def overlap(depth: float) -> float:
        sizes = {"voxel": Voxel(5, 5, depth), "prior_voxel": Voxel(5, 5, 10)}
        return morula.select(tmp_path / "candidates", prior=prior, **sizes)["ranking"][0]["terms"]["overlap"][
            "penalty"
        ]

    assert overlap(40) == pytest.approx(0)
    assert overlap(10) > 0.01


def colours(path: Path, truth: Array) -> None:
    image = np.stack([truth[0] * 255, truth[1] * 255, truth[0] * 9], axis=-1).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("no folder", "no such folder"),
        ("a file", "a file"),
        ("empty folder", "no candidates"),
        ("empty candidate", "folder is empty"),
        ("other shape", "but .* has"),
        ("other stems", "only one of the two has"),
        ("same name", "two candidates named"),
        ("empty prior", "no object of more than 10 pixels"),
        ("no prior", "no such file"),
        ("colour labels", "different channels|channels that differ"),
        ("picture as labels", "neither a mask nor instance numbers"),
        ("float labels", "labels of type float32"),
        ("text as labels", "not a TIFF"),
        ("image of another size", "but .* has"),
    ],
)
def test_refuses(tmp_path: Path, scene: tuple[Array, Array, Array], spoil: str, message: str) -> None:
    image, truth, source = scene
    root, prior, images = tmp_path / "candidates", save_stack(tmp_path / "prior.tif", source), None
    save_stack(root / "fine.tif", truth)
    match spoil:
        case "no folder":
            root = tmp_path / "nowhere"
        case "a file":
            root = root / "fine.tif"
        case "empty folder":
            root = tmp_path / "bare"
            root.mkdir()
        case "empty candidate":
            (root / "bare").mkdir()
        case "other shape":
            save_stack(root / "small.tif", truth[:, :-1])
        case "other stems":
            save_stack(root / "a" / "x.tif", truth), save_stack(root / "a" / "y.tif", truth)
        case "same name":
            save_stack(root / "fine" / "labels.tif", truth)
        case "empty prior":
            save_stack(prior, source & False)
        case "no prior":
            prior = tmp_path / "nowhere.tif"
        case "colour labels":
            colours(root / "colour.png", truth)
        case "picture as labels":
            save_stack(root / "grey.tif", image)
        case "float labels":
            save_stack(root / "float.tif", truth.astype(np.float32))
        case "text as labels":
            (root / "notes.tif").write_text("my notes")
        case _:
            images = tmp_path / "image.tif"
            save_stack(images, image[:, :-2])
    with pytest.raises(DataError, match=message):
        morula.select(root, prior=prior, images=images)
