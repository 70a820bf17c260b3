from __future__ import annotations

import tracemalloc
from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from morula.blockwise import StoredAffinities, graph_of
from morula.core.affinities import NEAREST, Affinities
from morula.core.errors import DataError, UsageError
from morula.core.rng import Rng
from morula.core.types import Axes, Record, Volume, Voxel
from morula.metrics import neuron_scores
from morula.post import region_graph
from morula.targets import affinities, partnered
from morula.tasks.neurons import (
    Crops,
    Decode,
    Decoder,
    Dense,
    Finetune,
    Network,
    Part,
    averaged,
    build,
    decode,
    decoder_of,
    fitting,
    grey,
    is_isotropic,
    offsets_of,
    predict_affinities,
    prepare,
    render,
    tune,
    unlabelled_of,
)
from morula.tasks.neurons.blocks import block_model

OFFSETS = (*NEAREST, (0, -3, 0), (0, 0, -3))


def phantom(shape: tuple[int, int, int] = (10, 20, 30)) -> np.ndarray:
    """Four boxes of which no two axes are alike: a turned axis anywhere changes them."""
    z, y, x = np.indices(shape)
    return (1 + (z >= 6) + 2 * (x >= 18) * (y >= 8)).astype(np.int32)


def record(labels: np.ndarray, box: tuple[slice, ...] | None = None) -> Record:
    image = np.random.default_rng(0).integers(0, 255, (30, 30, 40), dtype=np.uint8)
    return Record("a", Volume(image, Axes("zyx"), "a", stamp="a"), lambda: labels, box=box)


def test_a_block_is_cut_along_its_longest_axis_where_it_lies_in_the_volume() -> None:
    labels = phantom()
    given = record(labels, (slice(5, 15), slice(2, 22), slice(10, 40)))
    block = prepare(given, grey(given.image), 0.3)
    assert block.train.box == (slice(5, 15), slice(2, 22), slice(10, 31))
    assert block.validation.box == (slice(5, 15), slice(2, 22), slice(31, 40))
    assert np.array_equal(block.train.labels, labels[:, :, :21])
    assert neuron_scores(block.validation.labels, labels[:, :, 21:])["voi"] == 0


def test_a_neuron_that_leaves_the_validation_part_and_comes_back_is_two() -> None:
    labels = np.full((9, 9, 40), 1, np.int32)
    labels[4, :, 28:] = 2
    block = prepare(record(labels), np.zeros(labels.shape), 0.25)
    assert len(np.unique(block.validation.labels)) == 3


def test_blocks_that_teach_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="label at least"):
        prepare(record(phantom((3, 9, 10))), np.zeros(1), 0.25)
    with pytest.raises(DataError, match="a single neuron"):
        prepare(record(np.ones((9, 40, 40), np.int32)), np.zeros(1), 0.25)
    alone = np.ones((9, 40, 40), np.int32)
    alone[:, :20, :10] = 2
    with pytest.raises(DataError, match=r"single neuron in the part .* kept to tune"):
        prepare(record(alone.transpose(0, 2, 1)), np.zeros(1), 0.25)
    with pytest.raises(DataError, match="two sections or more"):
        prepare(record(phantom((1, 40, 40))), np.zeros(1), 0.25)
    with pytest.raises(UsageError, match="--labels"):
        prepare(Record("a", record(phantom()).image), np.zeros(1), 0.25)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_grey_values_are_of_one_range_whatever_was_stored(dtype: type[np.generic]) -> None:
    values = (np.random.default_rng(0).random((4, 32, 32)) * 200).astype(dtype)
    found = grey(Volume(values, Axes("zyx"), "a"))
    assert np.percentile(found, (0.5, 99.5)) == pytest.approx([0, 1], abs=0.02)


def test_a_saturated_voxel_changes_no_affinity_far_from_it() -> None:
    """Group norm takes the spread of a whole tile, which one voxel of 65535 among 1000 to 2000 would be."""
    values = np.random.default_rng(0).integers(1000, 2001, (8, 32, 32)).astype(np.uint16)
    network, fabric = Network(widths=(8, 8), offsets="nearest"), Fabric(accelerator="cpu")
    torch.manual_seed(0)
    model = build(network, 3, isotropic=True)
    decoder = Decoder("volume", 1.0, "mean")
    found: list[np.ndarray] = []
    for bright in (2000, 65535):
        values[4, 16, 16] = bright
        volume = Volume(values.copy(), Axes("zyx"), "a")
        blocks = block_model(model, volume, NEAREST, decoder, Decode(tile=(8, 32, 32), mirrors=1), fabric)
        whole = tuple(slice(0, size) for size in values.shape)
        found.append(blocks.predict(values, whole))
        assert (grey(volume).min(), grey(volume).max()) == (0, 1)
    assert np.array_equal(*found)
    assert found[0].std() > 0


def test_the_voxel_decides_what_is_learned() -> None:
    cube, slab = Voxel(z=10, y=10, x=10), Voxel(z=40, y=4, x=4)
    assert is_isotropic(Network(), cube)
    assert not is_isotropic(Network(), slab)
    assert not is_isotropic(Network(), None)
    assert is_isotropic(Network(geometry="isotropic"), slab)
    assert offsets_of(Network(), isotropic=True)[3:6] == ((-3, 0, 0), (0, -3, 0), (0, 0, -3))
    assert len(offsets_of(Network(), isotropic=False)) == 12
    assert offsets_of(Network(offsets="nearest"), isotropic=False) == NEAREST


@pytest.mark.parametrize(
    ("asked", "of_cubes", "of_slabs"),
    [("auto", "grey", "network"), ("grey", "grey", "grey"), ("network", "network", "network")],
)
def test_grey_values_place_the_borders_of_cubes(asked: str, of_cubes: str, of_slabs: str) -> None:
    decode = Decode.model_validate({"borders": asked})
    assert decoder_of(decode, isotropic=True).borders == of_cubes
    assert decoder_of(decode, isotropic=False).borders == of_slabs


@pytest.mark.parametrize(
    ("shape", "cubes", "slabs"),
    [
        ((90, 300, 300), (48, 48, 48), (48, 48, 48)),
        ((20, 300, 300), (20, 20, 20), (20, 48, 48)),
        ((4, 300, 300), (4, 48, 48), (4, 48, 48)),
        ((4, 300, 30), (4, 30, 30), (4, 30, 30)),
        ((90, 300, 8), (8, 8, 8), (48, 8, 8)),
    ],
)
def test_crops_of_thin_volumes_are_as_wide_as_others(
    shape: tuple[int, int, int], cubes: tuple[int, int, int], slabs: tuple[int, int, int]
) -> None:
    assert fitting((48, 48, 48), shape, isotropic=True) == cubes
    assert fitting((48, 48, 48), shape, isotropic=False) == slabs


@pytest.mark.parametrize(("depth", "isotropic"), [(12, True), (8, True), (8, False)])
def test_affinities_of_a_crop_are_those_of_its_image(depth: int, isotropic: bool) -> None:
    """The grey value is the label here, so a target that was turned otherwise than its image shows."""
    labels = np.random.default_rng(0).integers(1, 4, (8, 5, 5)).repeat(2, 0).repeat(4, 1).repeat(4, 2)
    settings = Finetune(crop=(depth, 12, 12), batch=2, augment="flips", widen="no")
    crops = Crops(
        [Dense(labels.astype(np.float32), labels)], OFFSETS, settings, Rng(0, "crops"), isotropic=isotropic
    )
    batch = crops(5)
    assert batch.image.shape == (2, 1, depth, 12, 12)
    for image, target, known in zip(batch.image, batch.target, batch.known, strict=True):
        expected = affinities(image[0].numpy().astype(int), OFFSETS).values
        assert np.array_equal(target.numpy(), expected)
        assert known[0, 0].sum() == 0
    assert torch.equal(crops(5).image, batch.image)


def test_parts_give_as_many_crops_as_their_chances_or_their_voxels_say() -> None:
    large, small = (np.full((8, edge, edge), value, np.int32) for edge, value in ((24, 1), (12, 2)))
    parts = [Dense(labels.astype(np.float32), labels) for labels in (large, small)]
    settings = Finetune(crop=(8, 12, 12), batch=50, augment="flips")

    def share(chances: list[float] | None) -> float:
        crops = Crops(parts, NEAREST, settings, Rng(0, "crops"), isotropic=False, chances=chances)
        return np.mean([(crops(index).image[:, 0, 0, 0, 0] == 2).float().mean() for index in range(20)])

    assert share(None) == pytest.approx(0.2, abs=0.04)
    assert share([1.0, 3.0]) == pytest.approx(0.75, abs=0.04)


def test_where_a_piece_is_silent_no_affinity_is_known_and_none_crosses_its_face() -> None:
    labels = np.ones((8, 12, 12), np.int32)
    silent = Part((slice(0, 6), *[slice(0, 12)] * 2), labels[:6])
    piece = Dense(labels.astype(np.float32), labels, (2, 0, 0)).without(silent)
    settings = Finetune(crop=(8, 12, 12), batch=1, augment="flips", widen="no", shapes=1)
    batch = Crops([piece], NEAREST, settings, Rng(0, "crops"), isotropic=False)(0)
    sections = batch.known[0, :2].sum((2, 3)).numpy() / 12  # along z of all 12 rows, along y of 11
    up = sections[1].argmax() > 3
    z, y = sections if up else sections[:, ::-1]
    assert y.tolist() == [0] * 4 + [11] * 4
    assert sorted(z.tolist()) == [0] * 5 + [12] * 3
    assert (batch.shapes[0, -1].amax((1, 2)) > 0).numpy().tolist() == (sections[1] > 0).tolist()


@pytest.mark.parametrize("widen", ["yes", "no"])
def test_labels_of_a_crop_are_those_of_its_affinities(widen: str) -> None:
    labels = np.random.default_rng(0).integers(-1, 4, (8, 5, 5)).repeat(2, 0).repeat(4, 1).repeat(4, 2)
    settings = Finetune.model_validate({"crop": (8, 12, 12), "batch": 2, "augment": "flips", "widen": widen})
    parts = [Dense(labels.astype(np.float32), labels)]
    batch = Crops(parts, NEAREST, settings, Rng(0, "crops"), isotropic=False)(0)
    assert batch.labels.dtype == torch.int64
    for image, target, known, told in zip(batch.image, batch.target, batch.known, batch.labels, strict=True):
        assert np.array_equal(affinities(told.numpy(), NEAREST).values, target)
        assert np.array_equal(partnered(NEAREST, told.numpy() >= 0), known)
        assert torch.equal(told < 0, image[0] < 0)


@pytest.mark.parametrize("shape", [(5, 9, 17), (4, 4, 4)])
@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_tiles_blend_to_what_the_whole_would_be(shape: tuple[int, int, int], overlap: float) -> None:
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = predict_affinities(
        lambda volume: torch.cat([volume, -volume, 2 * volume], dim=1),
        image, NEAREST, tile=(4, 4, 4), overlap=overlap, device=torch.device("cpu"),
    )  # fmt: skip
    assert found.values[2] == pytest.approx(1 / (1 + np.exp(-2 * image)), abs=2e-3)


@pytest.mark.parametrize("where", ["volume", "sections"])
@pytest.mark.parametrize("linkage", ["mean", "median", "median-of-maxima"])
def test_decoding_the_targets_gives_the_labels_back(where: str, linkage: str) -> None:
    truth = phantom()
    decoder = Decoder(where, 1.0, linkage)  # type: ignore[arg-type]
    found = decoder(affinities(truth, OFFSETS))
    assert neuron_scores(found.labels, truth)["voi"] == 0
    assert found.labels.min() == 1
    assert len(found.scores) == len(found.classes) == 4
    assert found.scores.min() > 0.7


def test_polarity_and_offsets_are_read_and_not_assumed() -> None:
    truth = phantom()
    given = affinities(truth, OFFSETS)
    turned = Affinities(1.0 - given.values[::-1], OFFSETS[::-1], "repulsive")
    assert neuron_scores(Decoder("volume", 1.0, "mean")(turned).labels, truth)["voi"] == 0


@pytest.mark.parametrize("mirrors", [1, 4, 8])
def test_affinities_of_mirror_images_are_those_of_the_volume(mirrors: int) -> None:
    """A network that is right sees the truth in every mirror image, so their mean is the truth."""
    truth = phantom()
    found = averaged(lambda volume: affinities(volume.astype(int), OFFSETS), truth, mirrors)
    assert np.array_equal(found.values, affinities(truth, OFFSETS).values)


def test_mirrors_even_out_what_depends_on_the_direction() -> None:
    """A network that knows one of the two sides of a border only: each view of the axis brings the other."""
    image = np.arange(4.0)[None, None] * np.ones((1, 2, 4))
    rising = lambda volume: Affinities(  # noqa: E731
        np.stack([np.diff(volume, axis=axis, prepend=0) > 0 for axis in range(3)]).astype(float), NEAREST
    )
    found = averaged(rising, image, 4).of((0, 0, -1))
    assert found[..., 1:] == pytest.approx(0.5)


@pytest.mark.parametrize("isotropic", [True, False])
def test_every_mirror_image_shows_the_offsets_of_a_mutex_watershed(isotropic: bool) -> None:
    offsets = offsets_of(Network(offsets="mutex"), isotropic=isotropic)
    shown = {tuple(sign * part for part in offset) for offset in offsets for sign in (1, -1)}
    assert all(
        (z * a, y * b, x * c) in shown for z, y, x in offsets for a, b, c in product((1, -1), repeat=3)
    )
    truth = phantom((12, 20, 30))
    found = averaged(lambda volume: affinities(volume.astype(int), offsets), truth, 8)
    assert np.array_equal(found.values, affinities(truth, offsets).values)


def test_a_view_that_does_not_show_an_offset_does_not_count() -> None:
    only = ((0, -3, -4),)
    seen = lambda volume: Affinities(volume[None], only)  # noqa: E731
    image = np.random.default_rng(0).random((2, 9, 9))
    shown = image.copy()  # mirrored along y and x, and in z alone
    shown[:, 3:, 4:] = (image[:, 3:, 4:] + image[:, :-3, :-4]) / 2
    assert averaged(seen, image, 4).values[0] == pytest.approx(shown, abs=1e-3)


def test_tuning_takes_the_best_threshold() -> None:
    truth = phantom()
    noise = np.random.default_rng(0).normal(0, 0.25, (len(OFFSETS), *truth.shape))
    maps = Affinities(np.clip(affinities(truth, OFFSETS).values + noise, 0, 1), OFFSETS)
    decoder, rows = tune(Decoder("volume", 1.0, "mean"), maps, truth, 9)
    assert len(rows) == 9
    assert min(row["voi"] for row in rows) == next(
        r["voi"] for r in rows if r["threshold"] == decoder.threshold
    )
    assert len({row["voi"] for row in rows}) > 2
    for row in rows:
        found = neuron_scores(replace(decoder, threshold=row["threshold"])(maps).labels, truth)
        assert {name: row[name] for name in found} == found


def test_a_rendering_shows_what_is_in_front() -> None:
    labels = np.zeros((6, 8, 8), np.int32)
    labels[1, :4], labels[4] = 1, 2
    picture = render(labels, count=2)
    assert picture.shape == (8, 8, 3)
    assert not np.array_equal(picture[1, 4], picture[6, 4])
    assert (render(np.zeros_like(labels), count=2) == 250).all()


def test_a_volume_of_one_section_teaches_nothing_of_what_links_them() -> None:
    single = Record("a", Volume(np.zeros((1, 30, 30), np.uint8), Axes("zyx"), "a"))
    with pytest.raises(DataError, match="a: a volume of a single section"):
        unlabelled_of([record(phantom()), single], Network())


@pytest.mark.parametrize("where", ["volume", "sections"])
def test_a_decoder_takes_no_more_memory_than_a_part_of_the_volume_needs(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from morula.blockwise import neurons as by_parts

    truth = np.kron(phantom(), np.ones((8, 4, 4), int))
    maps = (affinities(truth, OFFSETS).values * 255).astype(np.uint8)
    stored, decoder = StoredAffinities(maps, OFFSETS), Decoder(where, 1.0, "mean")  # type: ignore[arg-type]
    whole = stored.read(tuple(slice(0, size) for size in truth.shape))
    pieces = decoder.pieces(stored)
    expected = region_graph(pieces, whole, histograms=True)
    monkeypatch.setattr(by_parts, "_PART", (9, 40, 48))
    graph = graph_of(pieces, stored, histograms=True)
    for field in fields(expected):
        assert np.array_equal(getattr(graph, field.name), getattr(expected, field.name))
    for module, at in ((by_parts, "_PART"), (decode, "_CUBE"), (decode, "_SECTIONS")):
        monkeypatch.setattr(module, at, (16, 40, 40))
    tracemalloc.start()
    try:
        found = decoder(stored)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        read = stored.read(tuple(slice(0, size) for size in truth.shape))
        whole_peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.scores) > 1 and len(np.unique(found.labels)) == len(found.scores)
    assert np.array_equal(read.values, np.float32(maps) / 255)
    assert peak < 60 * truth.size  # of it 30 for the largest part of this small volume
    assert whole_peak < (5 * 4 + 16) * truth.size  # 5 maps of float32, beside what was found
