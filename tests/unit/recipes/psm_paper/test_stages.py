from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from morula.core.config import Config
from morula.core.errors import DataError, UsageError
from morula.core.rng import Rng
from morula.core.types import Axes, Record, Volume
from morula.engine import Run, launch
from morula.recipes.psm.paper import stages
from morula.recipes.psm.paper.config import Activation, Defects, Downstream, Final, PaperConfig
from morula.recipes.psm.paper.losses import nll
from morula.recipes.psm.paper.pseudo import prior_map, pseudo_mask, untrained
from morula.recipes.psm.paper.segment import foreground, segmentation
from stopping import stopped_at

TINY = PaperConfig(
    crop=64,
    activation=Activation(network="resnet26", steps=2),
    second=Downstream(steps=2, batch=2),
    final=Final(steps=2, batch=2),
)


def tissue(seed: int, height: int = 96, width: int = 96) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.full((height, width, 3), (235.0, 200.0, 220.0))
    for a, b in rng.integers(8, min(height, width) - 8, (8, 2)):
        image[(y - a) ** 2 + (x - b) ** 2 < 36] = (90, 60, 140)
    return np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)


def colour(name: str, image: np.ndarray) -> Volume:
    return Volume(np.moveaxis(image, -1, 0), Axes("cyx"), name, channels=("red", "green", "blue"))


def never() -> np.ndarray:
    raise AssertionError("labels were read")


RECORDS = [
    Record("a", colour("a", tissue(0)), labels=never),
    Record("grey", Volume(tissue(1, 50, 90)[..., 1], Axes("yx"), "grey"), labels=never),
]


def open_run(path: Path, config: PaperConfig) -> Run:
    values = config.model_dump(mode="json")
    fabric = launch("cpu", "32-true")
    return Run.open(path, recipe="psm", config=values, data={}, seed=0, fabric=fabric)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("paper") / "run"
    stages.train(open_run(path, TINY), RECORDS, TINY)
    return path


def test_a_run_has_six_stages_and_a_model(finished: Path) -> None:
    names = sorted(folder.name for folder in finished.glob("[0-9]-*"))
    assert names == ["1-activation", "2-maps", "3-masks", "4-second", "5-voronoi", "6-final"]
    assert all((finished / name / "done.json").exists() for name in names)
    model = json.loads((finished / "model" / "model.json").read_text())
    assert model == {"recipe": "psm", "preset": "paper", "network": "ResUNet34", "classes": ["nucleus"]}
    assert not list(finished.rglob("state.pt"))


def test_a_model_segments_images_of_any_size(finished: Path) -> None:
    model = stages.load(finished, launch("cpu", "32-true"))
    for shape in [(96, 96), (16, 40), (33, 65)]:
        found = model(colour("b", tissue(2, *np.maximum(shape, 20))[: shape[0], : shape[1]]))
        assert found.labels.shape == shape
        assert found.maps["foreground"].shape == shape
        assert set(found.classes) <= {"nucleus"}
        assert ((found.scores > 0.5) & (found.scores <= 1)).all()


def test_the_story_has_pictures_of_every_stage(finished: Path) -> None:
    chapters = stages.story(finished)
    assert [len(chapter.pictures) for chapter in chapters] == [4, 4, 4, 2]
    names = {picture.name for chapter in chapters for picture in chapter.pictures}
    assert names == {
        "Image",
        "Activation map",
        "Clusters",
        "Pseudo-mask",
        "Second-stage probability",
        "Points and borders",
        "Final segmentation",
    }


def test_a_finished_run_is_left_alone_and_a_lost_model_is_made_again(finished: Path) -> None:
    weights = finished / "model" / "network.safetensors"
    before = weights.stat().st_mtime_ns
    stages.train(open_run(finished, TINY), RECORDS, TINY)
    assert weights.stat().st_mtime_ns == before
    content = weights.read_bytes()
    (finished / "model" / "model.json").unlink()
    weights.unlink()
    stages.train(open_run(finished, TINY), RECORDS, TINY)
    assert weights.read_bytes() == content


@pytest.mark.parametrize("name", ["activation", "second"])
def test_a_stopped_stage_goes_on_to_the_same_weights(name: str, tmp_path: Path) -> None:
    brief = TINY.model_copy(update={"activation": Activation(network="resnet18", steps=2, batch=1)})
    how = Downstream(steps=2, batch=1)

    def trained(path: Path) -> dict[str, torch.Tensor]:
        stage = open_run(path, brief).stage(name)
        if name == "activation":
            return stages.learn_activation(stage, RECORDS, brief).state_dict()
        stage.save_array("a-mask", np.eye(96, dtype=np.uint8))
        stage.save_array("grey-mask", np.eye(64, 90, dtype=np.uint8))
        loss = partial(nll, double_softmax=True)
        return stages.learn_resunet(stage, RECORDS, brief, how, [(stage, "mask")], loss).state_dict()

    whole = trained(tmp_path / "whole")
    with stopped_at(name, 1):
        trained(tmp_path / "stopped")
    assert list((tmp_path / "stopped").glob("*/state.pt"))
    again = trained(tmp_path / "stopped")
    assert [key for key in whole if not torch.equal(whole[key], again[key])] == []


def test_a_model_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text('{"network": "unet"}')
    with pytest.raises(DataError, match="preset paper"):
        stages.load(tmp_path, launch("cpu", "32-true"))


def test_another_recipes_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="preset paper"):
        stages.train(open_run(tmp_path / "run", TINY), RECORDS, Config())


def test_imagenet_weights_are_asked_for_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    config = TINY.model_copy(update={"final": Final(pretrained=True)})
    with pytest.raises(UsageError, match="pretrained"):
        stages.train(open_run(tmp_path / "run", config), RECORDS, config)
    assert not list((tmp_path / "run").glob("1-*"))


def test_without_defects_whole_images_are_learnt(tmp_path: Path) -> None:
    off = Defects(**dict.fromkeys(Defects.model_fields, False))
    activation = TINY.activation.model_copy(update={"steps": 0})
    once = {"second": Downstream(steps=1), "final": Final(steps=1)}
    config = TINY.model_copy(update={"defects": off, "activation": activation, **once})
    path = tmp_path / "run"
    stages.train(open_run(path, config), RECORDS, config)
    assert np.load(path / "2-maps" / "a-map.npy").shape == (96, 96)
    assert np.load(path / "5-voronoi" / "grey-target.npy").shape == (64, 90)


def test_without_steps_the_network_is_the_untrained_one(tmp_path: Path) -> None:
    config = TINY.model_copy(update={"activation": TINY.activation.model_copy(update={"steps": 0})})
    run = open_run(tmp_path / "run", config)
    stage = run.stage("activation")
    found = stages.learn_activation(stage, RECORDS, config)
    wanted = untrained(config, stage.rng("init"))
    for ours, theirs in zip(found.state_dict().values(), wanted.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_every_task_trains(tmp_path: Path) -> None:
    for proxy in ("contrastive", "random_rotate", "simsiam", "mean_value"):
        activation = Activation(network="resnet18", proxy=proxy, batch=2, steps=1)
        config = TINY.model_copy(update={"activation": activation})
        stage = open_run(tmp_path / proxy, config).stage("activation")
        before = untrained(config, stage.rng("init")).state_dict()
        learned = dict(stages.learn_activation(stage, RECORDS, config).named_parameters())
        assert any(not torch.equal(learned[name], before[name]) for name in learned), proxy


def test_the_controls_take_whole_images() -> None:
    found = {name: control(RECORDS[1].image) for name, control in stages.controls(RECORDS, TINY).items()}
    assert set(found) == {"colour-kmeans", "untrained-map"}
    assert all(each.labels.shape == (50, 90) for each in found.values())


def test_colour_alone_finds_the_nuclei_of_easy_tissue() -> None:
    image = tissue(0)
    fixed = TINY.model_copy(update={"defects": Defects(colour_rule=False, noop_size_filter=False)})
    fixed = fixed.model_copy(update={"clustering": fixed.clustering.model_copy(update={"smallest": 20})})
    truth = image[..., 0] < 160
    for config in (TINY, fixed):
        clusters, mask = pseudo_mask(np.zeros((96, 96)), image, config, Rng(0, "k").at(0))
        assert set(np.unique(clusters)) == {0, 1, 2}
        assert (mask & truth).sum() / (mask | truth).sum() > 0.7


@pytest.mark.parametrize("sign", [1, -1])
def test_a_map_against_the_stain_is_flipped_only_when_asked(
    sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two maps, each the negative of the other, one is against the stain."""

    def light_or_dark(network: nn.Module, layer: nn.Module, image: torch.Tensor) -> torch.Tensor:
        return 0.5 + sign * (image.mean(dim=0) - 0.5)

    monkeypatch.setattr("morula.recipes.psm.paper.pseudo.activation_map", light_or_dark)
    image = tissue(0)[:64, :64]
    fixed = TINY.model_copy(update={"defects": Defects(sign_ambiguity=False)})
    network = untrained(TINY, Rng(0, "n"))
    raw, resolved = (prior_map(network, image, config) for config in (TINY, fixed))
    light = image.mean(axis=-1).ravel()
    assert sign * np.corrcoef(raw.ravel(), light)[0, 1] > 0.99
    assert np.corrcoef(resolved.ravel(), light)[0, 1] < -0.99


class Bright(nn.Module):
    """Says nucleus where the image is bright; stands in for a trained network."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.shape[-1] % 32 == 0
        return torch.stack([-images[:, 0], images[:, 0]], dim=1) * self.weight


@pytest.mark.parametrize("shape", [(40, 70), (1030, 50)])
def test_the_probability_lies_where_the_image_has_it(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 2, (*shape, 1)).astype(np.uint8) * np.full(3, 255, np.uint8)
    found = foreground(Bright(), image)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(found, np.where(image[..., 0] > 0, 0.8808, 0.1192), atol=1e-4)


def test_nuclei_touch_over_corners_and_score_their_mean_probability() -> None:
    probability = np.array([[0.9, 0.1, 0.1], [0.1, 0.7, 0.1], [0.1, 0.1, 0.5]], np.float32)
    found = segmentation(probability)
    assert found.labels.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert found.scores == pytest.approx([0.8])
    assert len(segmentation(np.zeros((4, 4), np.float32)).scores) == 0
