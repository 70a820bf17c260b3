import numpy as np
import pytest
import torch

from morula.core.rng import Rng
from morula.core.types import Axes, Volume
from morula.engine import Run, Weights, launch
from morula.recipes.psm import recipe
from morula.recipes.psm.activation import ActivationNet, agreement_loss, orient, self_activation
from morula.recipes.psm.clustering import fit_mixture
from morula.recipes.psm.controls import controls
from morula.recipes.psm.views import two_views
from morula.tasks.cells.batches import crops
from morula.tasks.cells.decode import classes_of, enlarged, segmentation, to_shape
from morula.tasks.cells.density import density, optical_density
from morula.tasks.cells.front import SizePrior, fit_sizes, foreground
from morula.tasks.cells.pseudo import pseudo_instances, targets
from morula.tasks.cells.standard import prepare
from stopping import stopped_at


@pytest.fixture
def nuclei():
    """Thirty bright discs of 12 px on a dark ground, as `(y, x, 1)` uint8."""
    image = np.full((160, 192), 12.0)
    y, x = np.mgrid[:160, :192]
    for row in range(5):
        for column in range(6):
            image[np.hypot(y - 16 - 32 * row, x - 16 - 32 * column) <= 6] = 150
    return (image + Rng(0).at(0).normal(0, 3, image.shape)).clip(0, 255).astype(np.uint8)[..., None]


def tinted(colour):
    return np.broadcast_to(np.array(colour, dtype=np.uint8), (12, 12, 3))


def test_size_prior_finds_the_diameter(nuclei):
    priors, found = fit_sizes([nuclei])
    assert found[0] is not None
    assert found[0][0] == pytest.approx(12.5, abs=1.5)
    assert priors["fluorescence"].diameter(None) == pytest.approx(found[0][0])


def test_an_image_with_few_objects_takes_the_size_of_the_set():
    prior = SizePrior(float(np.log(20)), 0.05)
    assert prior.diameter((40.0, 1)) < prior.diameter((40.0, 200)) < 40
    assert prior.diameter((40.0, 1)) < 22


def test_pseudo_labels_are_the_objects(nuclei):
    priors, found = fit_sizes([nuclei])
    image = prepare(nuclei, priors, 22.0, found[0])
    inside = foreground(image)
    pseudo = pseudo_instances(image, inside, 22.0)
    assert len(pseudo.confidence) == pseudo.labels.max() == 30
    goal = targets(pseudo, inside)
    assert goal.shape == (3, *image.density.shape)
    assert goal[2].max() <= 1 and goal[2].min() > 0


def test_an_image_without_objects_has_no_pseudo_labels():
    empty = prepare(np.zeros((64, 64, 1), dtype=np.uint8), {}, 22.0)
    assert pseudo_instances(empty, foreground(empty), 22.0).labels.max() == 0


def test_density_of_a_pale_and_a_black_nucleus_differ_little():
    image = np.full((60, 60, 3), 240, dtype=np.uint8)
    image[10:30, 10:30] = (110, 120, 170)
    image[35:55, 35:55] = (10, 8, 8)
    dense = density(image, "IHC")
    assert dense[20, 20] > 0.6 * dense[45, 45] > 0.3


def test_classes_follow_the_stain():
    labels = np.ones((12, 12), dtype=np.int32)
    assert classes_of(tinted((120, 70, 30)), labels, "IHC") == ("positive",)
    assert classes_of(tinted((15, 12, 10)), labels, "IHC") == ("positive",)
    assert classes_of(tinted((120, 130, 180)), labels, "IHC") == ("negative",)
    assert classes_of(tinted((120, 130, 180)), labels, "phase contrast") == ("cell",)


def test_a_constant_scalar_does_not_win_the_proxy():
    constant, varied = torch.zeros(8), torch.arange(8.0)
    assert float(agreement_loss(constant, constant)) == pytest.approx(1)
    assert float(agreement_loss(varied, varied)) == pytest.approx(0, abs=1e-5)


def test_activation_map_has_the_size_of_the_image_and_a_resolved_sign():
    network = ActivationNet(4, 8).eval()
    found = self_activation(network, torch.rand(4, 40, 48))
    assert found.shape == (40, 48) and 0 <= found.min() <= found.max() <= 1
    ramp = np.linspace(0, 1, 64).reshape(8, 8)
    (turned,), agreement = orient([1 - ramp], [ramp])
    assert np.allclose(turned, ramp) and agreement == pytest.approx(1)


def test_a_stopped_training_of_the_activation_goes_on_to_the_same_weights(nuclei, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "_VIEWS", 4)
    config = recipe.presets()["smoke"]
    images = [prepare(nuclei, {}, config.diameter)]

    def trained(name):
        run = Run.open(tmp_path / name, recipe="psm", config={}, data={}, seed=0, fabric=launch("cpu"))
        recipe._activation(run, images, [image.network_input for image in images], config)
        return Weights.load(run.path / "1-activation" / "activation.safetensors").tensors

    whole = trained("whole")
    with stopped_at("activation", 2):
        trained("stopped")
    assert (tmp_path / "stopped" / "1-activation" / "state.pt").exists()
    again = trained("stopped")
    assert [name for name in whole if not torch.equal(whole[name], again[name])] == []


def test_mixture_separates_two_densities():
    draw = Rng(1).at(0)
    dark, bright = draw.normal(0, 0.1, (400, 2)), draw.normal(2, 0.1, (100, 2))
    mixture = fit_mixture(np.concatenate([dark, bright]), 2, draw)
    assert mixture.foreground(bright).mean() > 0.99
    assert mixture.foreground(dark).mean() < 0.01
    assert mixture.weights.sum() == pytest.approx(1, abs=1e-4)


def test_batches_depend_on_their_index_alone():
    images = [Rng(2).at(0).random((4, 80, 90)).astype(np.float16)]
    goals = [np.ones((3, 80, 90), dtype=np.float16)]
    rng = Rng(3, "crops")
    first, again = (crops(images, goals, rng, 5, batch=2, size=64) for _ in range(2))
    assert torch.equal(first.image, again.image)
    assert first.image.shape == (2, 4, 64, 64) and first.target.shape == (2, 3, 64, 64)
    a, b = two_views(images, rng, 0, batch=2, size=32)
    assert a.shape == b.shape == (2, 4, 32, 32) and not torch.equal(a, b)


def test_an_image_smaller_than_the_crop_is_enlarged():
    images = [np.zeros((4, 30, 50), dtype=np.float16)]
    batch = crops(images, [np.zeros((3, 30, 50), dtype=np.float16)], Rng(0), 0, batch=1, size=64)
    assert batch.image.shape == (1, 4, 64, 64)


def test_labels_keep_their_ids_in_another_size():
    labels = np.array([[1, 2], [0, 3]], dtype=np.int32)
    assert np.array_equal(to_shape(labels, (4, 4))[::2, ::2], labels)


@pytest.mark.parametrize(
    ("dtype", "white"), [(np.uint16, 4095), (np.uint16, 65535), (np.float32, 1.0), (np.float32, 255.0)]
)
def test_optical_density_does_not_depend_on_the_depth_of_the_numbers(dtype, white):
    light = np.linspace(0.05, 1.0, 64 * 64 * 3).reshape(64, 64, 3)
    shallow = optical_density((light * 255).round().astype(np.uint8))
    np.testing.assert_allclose(optical_density((light * white).astype(dtype)), shallow, atol=0.05)


def stained(nuclei, colour):
    """Discs of one colour on near white, as an RGB image."""
    image = np.full((*nuclei.shape[:2], 3), 238.0)
    image[nuclei[..., 0] > 80] = colour
    return (image + Rng(1).at(0).normal(0, 3, image.shape)).clip(0, 255).astype(np.uint8)


def test_pale_nuclei_are_found_beside_black_ones(nuclei):
    image = stained(nuclei, (172, 186, 208))
    black = (np.mgrid[:160, :192][1] > 128) & (nuclei[..., 0] > 80)
    image[black] = (70, 42, 24)
    prepared = prepare(image, {}, 22.0, (12.5, 30))
    assert prepared.modality == "IHC"
    pseudo = pseudo_instances(prepared, foreground(prepared), 22.0)
    labels, _ = enlarged(pseudo, prepared.shape)
    assert labels.max() == 30
    assert sorted(set(classes_of(image, labels, "IHC"))) == ["negative", "positive"]
    assert classes_of(image, labels, "IHC").count("positive") == 10


def test_no_positives_are_invented_where_nothing_is_brown(nuclei):
    image = stained(nuclei, (120, 135, 185))
    prepared = prepare(image, {}, 22.0, (12.5, 30))
    labels, _ = enlarged(pseudo_instances(prepared, foreground(prepared), 22.0), prepared.shape)
    assert set(classes_of(image, labels, "IHC")) == {"negative"}


def test_where_the_network_fails_the_pseudo_labels_are_the_answer(nuclei):
    priors, found = fit_sizes([nuclei])
    prepared = prepare(nuclei, priors, 22.0, found[0])
    nothing = np.zeros(prepared.density.shape, np.float32)
    result = segmentation(prepared, nothing, nothing, 22.0, nuclei)
    assert result.labels.max() == 30
    goal = targets(pseudo_instances(prepared, foreground(prepared), 22.0), foreground(prepared))
    learned = segmentation(prepared, goal[0].astype(np.float32), goal[1].astype(np.float32), 22.0, nuclei)
    assert learned.labels.max() == 30
    assert learned.scores.tolist() != result.scores.tolist()


def test_spread_cells_in_phase_contrast_are_regions():
    y, x = np.mgrid[:200, :200]
    image = np.full((200, 200), 110.0)
    noise = Rng(2).at(0).normal(0, 1, image.shape)
    for centre in ((50, 60), (140, 130)):
        inside = np.hypot((y - centre[0]) / 14, (x - centre[1]) / 34) <= 1
        image = np.where(inside, image + 30 * noise, image)
    grey = (image + Rng(2).at(1).normal(0, 1.5, image.shape)).clip(0, 255).astype(np.uint8)[..., None]
    prepared = prepare(grey, {}, 22.0)
    assert prepared.modality == "phase contrast"
    assert prepared.diameter == pytest.approx(2 * np.sqrt(14 * 34), rel=0.25)
    pseudo = pseudo_instances(prepared, foreground(prepared), 22.0)
    assert pseudo.labels.max() == len(pseudo.confidence) == 2


def test_every_control_segments_fluorescence_and_a_stain(nuclei):
    for image in (nuclei, stained(nuclei, (120, 135, 185))):
        order = "yx" if image.shape[-1] == 1 else "cyx"
        pixels = image[..., 0] if order == "yx" else np.moveaxis(image, -1, 0)
        names = ("grey",) if order == "yx" else ("red", "green", "blue")
        volume = Volume(pixels, Axes(order), "made", channels=names)
        for name, control in controls().items():
            assert control(volume).labels.max() > 20, name
