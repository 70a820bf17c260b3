"""Every recipe for neurons trains, goes on where it was stopped, and predicts from the run alone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from morula.core.affinities import NEAREST
from morula.core.config import override
from morula.core.errors import UsageError
from morula.core.types import Axes, Record, Volume, Voxel
from morula.data import read_labels
from morula.data.affinities import read_affinities
from morula.engine import Run, Weights, launch, read_json, read_metrics, weights_file
from morula.metrics import neuron_scores
from morula.recipes import RECIPES, load_recipe
from morula.tasks.neurons import parted
from morula.workflows.agglomerate import agglomerate
from stopping import stopped_at
from synthetic import neurites

RECIPES_OF_NEURONS = [name for name, entry in RECIPES.items() if entry.block]
CUBE, SLAB = Voxel(z=10, y=10, x=10), Voxel(z=40, y=5, x=5)
NONE = {"steps": 0}
STILL = {"lr": 1e-12, "average": 0.0}


def record(voxel: Voxel = CUBE) -> Record:
    image, labels = neurites(0)
    box = (slice(0, 16), slice(0, 40), slice(0, 48))
    volume = Volume(image, Axes("zyx"), "n", voxel=voxel, stamp="n")
    return Record("n", volume, lambda: labels[box], box=box)


def train(path: Path, name: str, voxel: Voxel = CUBE, *, labels: bool = True, **changes: Any) -> Run:
    recipe = load_recipe(name)
    settings = override(recipe.presets()["smoke"], changes)
    run = Run.open(
        path, recipe=name, config=settings.model_dump(mode="json"), data={}, seed=0, fabric=launch("cpu")
    )
    known = record(voxel)
    recipe.train(run, [known if labels else replace(known, labels=None, box=None)], settings)
    return run


def weights(path: Path) -> dict[str, torch.Tensor]:
    return {
        f"{file.name}/{key}": value
        for file in sorted(path.rglob("*.safetensors"))
        for key, value in Weights.load(file).tensors.items()
    }


@pytest.mark.parametrize("name", RECIPES_OF_NEURONS)
@pytest.mark.parametrize("voxel", [CUBE, SLAB])
def test_it_trains_and_predicts_from_the_model_alone(name: str, voxel: Voxel, tmp_path: Path) -> None:
    train(tmp_path / "run", name, voxel)
    shutil.copytree(tmp_path / "run" / "model", tmp_path / "moved" / "model")
    image = record(voxel).image
    found = load_recipe(name).load(tmp_path / "moved", launch("cpu"))(image)
    assert found.labels.shape == image.shape
    assert np.unique(found.labels).tolist() == list(range(1, found.labels.max() + 1))
    assert (tmp_path / "run" / "scores" / "n.json").exists()


@pytest.mark.parametrize("voxel", [CUBE, SLAB])
def test_the_affinities_of_a_mutex_watershed_can_be_learned(voxel: Voxel, tmp_path: Path) -> None:
    learned = {"network": {"offsets": "mutex"}, "decode": {"mirrors": 4}, "self_training": NONE}
    run = train(tmp_path / "run", "mscon", voxel, pretrain=NONE, **learned)
    kept = run.path / "2-tune" / "affinities.h5"
    assert set(NEAREST) < set(read_affinities(kept).offsets)
    assert agglomerate(kept, out=tmp_path / "labels.tif", method="mutex").neurons
    assert load_recipe("mscon").load(run.path, launch("cpu"))(record(voxel).image).labels.any()


@pytest.mark.parametrize("voxel", [CUBE, SLAB])
def test_affinities_can_be_learned_by_the_pairs_that_they_decide_about(voxel: Voxel, tmp_path: Path) -> None:
    """A loss in [0, 2], the sum of two weighted means; slabs have widened borders, cubes a silent part."""
    learned = {"loss": "malis", "crop": (8, 16, 16), "steps": 4}
    near = {"network": {"offsets": "nearest"}, "pretrain": NONE, "finetune": learned}
    taught = NONE if voxel == SLAB else {"steps": 4}
    run = train(tmp_path / "run", "mscon", voxel, self_training=taught, **near)
    (kept,) = run.path.glob("*-finetune/metrics.jsonl")
    losses = read_metrics(kept)["loss"]
    assert losses and all(0 < each < 2 for each in losses)
    assert Weights.load(run.path / "model" / "network.safetensors").tensors["out.bias"].shape == (3,)
    assert load_recipe("mscon").load(run.path, launch("cpu"))(record(voxel).image).labels.any()


def test_pairs_are_not_counted_for_longer_affinities(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"finetune\.loss: malis, .* add --set network\.offsets=nearest"):
        train(tmp_path / "run", "mscon", finetune={"loss": "malis"})
    assert not list((tmp_path / "run").glob("[0-9]-*"))


@pytest.mark.parametrize("voxel", [CUBE, SLAB])
def test_stored_affinities_are_agglomerated_as_the_run_did(voxel: Voxel, tmp_path: Path) -> None:
    decode = {"smoothing": 1.0, "linkage": "median", "mirrors": 1}
    run = train(tmp_path / "run", "mscon", voxel, pretrain=NONE, self_training=NONE, decode=decode)
    agglomerate(run.path / "2-tune" / "affinities.h5", out=tmp_path / "labels.tif")
    found = read_labels(tmp_path / "labels.tif")
    (box,) = [read_json(run.path / "2-tune" / "done.json")["box"]]
    truth = parted(neurites(0)[1][tuple(slice(*each) for each in box)])
    kept = read_json(run.path / "scores" / "n.json")
    scores = neuron_scores(found, truth)
    assert {name: kept[name] for name in scores} == pytest.approx(scores)
    without = neuron_scores(found, truth, border=2)
    names = ("voi", "voi_split", "voi_merge", "are")
    assert {name: kept[f"{name}_border"] for name in names} == pytest.approx({n: without[n] for n in names})
    (control,) = read_json(run.path / "2-tune" / "done.json")["controls"].values()
    assert control.keys() == kept.keys()
    assert 0 < control["voi"] < 5 and control["voi_border"] != control["voi"]


@pytest.mark.parametrize("name", RECIPES_OF_NEURONS)
@pytest.mark.parametrize("stage", ["pretrain", "self-training-2", "finetune"])
def test_a_stopped_training_goes_on_to_the_same_weights(name: str, stage: str, tmp_path: Path) -> None:
    train(tmp_path / "whole", name)
    with stopped_at(stage, 3):
        train(tmp_path / "stopped", name)
    train(tmp_path / "stopped", name)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


@pytest.mark.parametrize("name", RECIPES_OF_NEURONS)
def test_no_step_of_pre_training_is_the_start_from_scratch(name: str, tmp_path: Path) -> None:
    train(tmp_path / "run", name, pretrain=NONE, self_training=NONE)
    assert [path.name for path in sorted((tmp_path / "run").glob("[0-9]-*"))] == ["1-finetune", "2-tune"]


@pytest.mark.parametrize("name", RECIPES_OF_NEURONS)
def test_all_pre_trained_weights_reach_the_network(name: str, tmp_path: Path) -> None:
    """At a vanishing learning rate the fine-tuned network is the pre-trained one, but for its end."""
    run = train(tmp_path / "run", name, self_training=NONE, finetune=STILL)
    (before,) = (Weights.load(file).tensors for file in run.path.rglob("encoder.safetensors"))
    after = Weights.load(run.path / "model" / "network.safetensors").tensors
    assert [key for key in before if not torch.allclose(before[key], after[key], atol=1e-6)] == []
    assert set(after) - set(before) == {"out.weight", "out.bias"}


@pytest.mark.parametrize("name", RECIPES_OF_NEURONS)
def test_what_trained_itself_reaches_the_network_whole(name: str, tmp_path: Path) -> None:
    """The last convolution comes along, for it gives the same affinities."""
    run = train(tmp_path / "run", name, finetune=STILL)
    stages = [path.name for path in sorted(run.path.glob("[0-9]-*"))]
    assert stages == ["1-pretrain", "2-self-training-1", "3-self-training-2", "4-finetune", "5-tune"]
    before = Weights.load(weights_file(run.path)).tensors
    after = Weights.load(run.path / "4-finetune" / "network.safetensors").tensors
    assert before.keys() == after.keys()
    assert [key for key in before if not torch.allclose(before[key], after[key], atol=1e-6)] == []
    again = train(tmp_path / "again", name, weights=str(run.path), finetune=STILL)
    found = Weights.load(again.path / "2-finetune" / "network.safetensors").tensors
    assert [key for key in before if not torch.allclose(before[key], found[key], atol=1e-6)] == []


@pytest.mark.parametrize("voxel", [CUBE, SLAB])
@pytest.mark.parametrize("name", RECIPES_OF_NEURONS)
def test_without_labels_the_network_that_trained_itself_is_the_model(
    name: str, voxel: Voxel, tmp_path: Path
) -> None:
    run = train(tmp_path / "run", name, voxel, labels=False)
    taught = Weights.load(weights_file(run.path)).tensors
    model = Weights.load(run.path / "model" / "network.safetensors").tensors
    assert taught.keys() == model.keys()
    assert all(torch.equal(taught[key], model[key]) for key in model)
    found = load_recipe(name).load(run.path, launch("cpu"))(record(voxel).image)
    assert 0 < found.labels.max() == len(found.scores)
    told = {chapter.name: chapter for chapter in load_recipe(name).story(run.path)}
    assert "Threshold" not in told
    assert [picture.name for picture in told["Affinities"].pictures][-1] == "neurons"
    again = train(tmp_path / "again", name, voxel, labels=False, weights=str(run.path), self_training=NONE)
    (kept,) = again.path.glob("model/*.safetensors")
    assert all(torch.equal(tensor, model[key]) for key, tensor in Weights.load(kept).tensors.items())


@pytest.mark.parametrize("name", RECIPES_OF_NEURONS)
def test_without_labels_something_must_say_what_a_neuron_is(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="labelled block alone"):
        train(tmp_path / "scratch", name, labels=False, self_training=NONE)
    train(tmp_path / "before", name, self_training=NONE, pretrain={"steps": 2})
    (encoder,) = (tmp_path / "before").rglob("encoder.safetensors")
    with pytest.raises(UsageError, match="which voxels belong together"):
        train(tmp_path / "after", name, labels=False, weights=str(encoder))
    assert not (tmp_path / "after" / "model").exists()


@pytest.mark.parametrize("worse", ["start", "fine-tuned"])
@pytest.mark.parametrize("name", RECIPES_OF_NEURONS)
def test_the_model_is_what_does_better_on_the_validation_part(
    name: str, worse: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learning: Any = import_module("morula.tasks.neurons.learn")
    order = iter(("fine-tuned", "start"))

    def tuned(*given: Any) -> Any:
        decoder, affinities, rows = measured(*given)
        handicap = 9.0 * (next(order) == worse)
        return decoder, affinities, [row | {"voi": row["voi"] + handicap} for row in rows]

    measured = learning._tuned
    monkeypatch.setattr(learning, "_tuned", tuned)
    run = train(tmp_path / "run", name)
    found = read_json(run.path / "5-tune" / "done.json")
    assert found["taken"] != worse
    assert found["candidates"][worse]["voi"] > 9 > found["candidates"][found["taken"]]["voi"]
    places = {"start": weights_file(run.path), "fine-tuned": run.path / "4-finetune" / "network.safetensors"}
    kept, model = (
        Weights.load(file).tensors
        for file in (places[found["taken"]], run.path / "model" / "network.safetensors")
    )
    assert all(torch.equal(kept[key], model[key]) for key in kept)


@pytest.mark.parametrize("name", RECIPES_OF_NEURONS)
def test_parts_of_the_labels_are_tried_for_a_curve_and_change_no_model(name: str, tmp_path: Path) -> None:
    scratch = {"pretrain": NONE, "self_training": NONE}
    plain = train(tmp_path / "plain", name, **scratch)
    run = train(tmp_path / "run", name, **scratch, finetune={"budgets": [0.25, 0.5]})
    stages = [path.name for path in sorted(run.path.glob("[0-9]-*"))]
    assert stages == ["1-finetune", "2-tune", "3-labels-25", "4-labels-50"]
    voxels = [read_json(run.path / stage / "done.json")["voxels"] for stage in stages[2:]]
    assert voxels == [16 * 20 * 18, 16 * 28 * 25]
    one, other = weights(plain.path / "model"), weights(run.path / "model")
    assert all(torch.equal(one[key], other[key]) for key in one)
    named = {chapter.name: chapter for chapter in load_recipe(name).story(run.path)}
    assert len(named["Labels"].pictures) == 1
    assert "Labels" not in {chapter.name for chapter in load_recipe(name).story(plain.path)}


@pytest.mark.parametrize("name", RECIPES_OF_NEURONS)
def test_shapes_are_learned_beside_the_affinities_and_left_behind(name: str, tmp_path: Path) -> None:
    learned = {"shapes": 1.0, "steps": 40}
    run = train(tmp_path / "run", name, pretrain=NONE, self_training=NONE, finetune=learned)
    curves = read_metrics(run.path / "1-finetune" / "metrics.jsonl")
    assert curves["shapes"][-1] < curves["shapes"][0]
    assert curves["loss"][0] > curves["shapes"][0]
    model = Weights.load(run.path / "model" / "network.safetensors").tensors
    assert len(model["out.weight"]) == len(model["out.bias"]) == 9
    image = record().image
    assert load_recipe(name).load(run.path, launch("cpu"))(image).labels.shape == image.shape


SMALL_UNETR = {"backbone": "unetr", "unetr_width": 32, "unetr_depth": 3, "unetr_features": 2}
SMALL_MALA = {"backbone": "mala", "mala_widths": (2, 4, 8)}


@pytest.mark.parametrize(
    ("network", "title", "only_fine"),
    [
        (SMALL_UNETR, "neurons.unetr3d", {"out", "lateral", "shallow"}),
        (SMALL_MALA, "neurons.mala3d", {"out"}),
    ],
)
@pytest.mark.parametrize("name", RECIPES_OF_NEURONS)
def test_another_backbone_takes_the_place_of_the_network(
    name: str, network: dict[str, Any], title: str, only_fine: set[str], tmp_path: Path
) -> None:
    run = train(tmp_path / "run", name, SLAB, network=network, self_training=NONE, finetune=STILL)
    found = load_recipe(name).load(run.path, launch("cpu"))(record(SLAB).image)
    assert found.labels.shape == record().image.shape
    (before,) = (Weights.load(file) for file in run.path.rglob("encoder.safetensors"))
    after = Weights.load(run.path / "model" / "network.safetensors")
    assert before.info.network == after.info.network == title
    assert before.info.arguments == after.info.arguments != {}
    lost = [
        key for key, kept in before.tensors.items() if not torch.allclose(kept, after.tensors[key], atol=1e-6)
    ]
    assert lost == []
    added = {key.split(".")[0] for key in set(after.tensors) - set(before.tensors)}
    assert added == only_fine


@pytest.mark.parametrize(
    ("network", "tile", "taken"),
    [
        (SMALL_UNETR, "auto", [8, 32, 32]),
        (SMALL_UNETR, (8, 48, 48), [8, 48, 48]),
        ({"widths": (4, 8)}, "auto", [64, 64, 64]),
    ],
)
def test_a_transformer_predicts_the_grid_of_positions_that_it_learned(
    network: dict[str, Any], tile: Any, taken: list[int], tmp_path: Path
) -> None:
    changed = {"network": network, "decode": {"tile": tile}, "finetune": {"steps": 1}, "pretrain": NONE}
    run = train(tmp_path / "run", "mscon", SLAB, self_training=NONE, **changed)
    assert read_json(run.path / "model" / "model.json")["decode"]["tile"] == taken
    alone = {**changed, "self_training": {"steps": 1, "rounds": 1}}
    run = train(tmp_path / "alone", "mscon", SLAB, labels=False, **alone)
    assert read_json(run.path / "model" / "model.json")["decode"]["tile"] == taken


@pytest.mark.parametrize("name", RECIPES_OF_NEURONS)
def test_two_volumes_are_one_too_many(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    settings = recipe.presets()["smoke"]
    run = Run.open(tmp_path / "run", recipe=name, config={}, data={}, seed=0, fabric=launch("cpu"))
    with pytest.raises(UsageError, match="2 volumes"):
        recipe.train(run, [record(), record()], settings)


@pytest.mark.parametrize("name", RECIPES_OF_NEURONS)
def test_the_control_needs_no_label(name: str) -> None:
    recipe = load_recipe(name)
    (control,) = recipe.controls([record()], recipe.presets()["smoke"]).values()
    assert control(record().image).labels.shape == record().image.shape
