from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from morula.core.errors import DataError, UsageError
from morula.core.types import Axes, Record, Volume, Voxel
from morula.recipes.emda.domains import as_bytes, domains_of, grey_range, resample, stretched
from synthetic import em_stack


def volume(array: np.ndarray, nm: float | None = 8.0, name: str = "v") -> Volume:
    return Volume(array, Axes("zyx"), name, voxel=None if nm is None else Voxel(y=nm, x=nm))


def source(nm: float | None = 8.0, seed: int = 0) -> Record:
    image, mask = em_stack(seed, sections=2, size=96)
    return Record("s", volume(image, nm, "s"), lambda: mask, domain="source")


def target(nm: float | None = 8.0) -> Record:
    return Record("t", volume(em_stack(5, sections=2, size=96)[0], nm, "t"), domain="target")


def test_both_domains_get_one_pixel_size():
    domains = domains_of([source(4.0), target(16.0)], harmonise=True, edge=8.0)
    assert domains.source.images[0].shape == domains.source.masks[0].shape == (2, 48, 48)
    assert domains.target.images[0].shape == (2, 192, 192)
    assert domains.target.masks == ()
    assert domains.source.masks[0].max() == 1


def test_an_unknown_size_is_first_guessed_and_then_found():
    domains = domains_of([source(4.0), target(None)], harmonise=True, edge=8.0)
    guess = domains.target.zooms[0]
    assert domains.pixel_nm == 8.0
    assert domains.stored or 0.2 < guess < 1.2
    found = replace(domains, stored=(target().image.read(),)).zoomed(0.75)
    assert found.target.images[0].shape == (2, 72, 72)
    assert found.ratio == pytest.approx(1.5)
    assert found.stored == ()


def test_the_common_pixel_follows_the_target_where_the_source_is_unknown():
    domains = domains_of([source(None), target(10.0)], harmonise=True, edge=8.0)
    assert domains.source.zooms == (1.0,)
    found = replace(domains, stored=(target().image.read(),)).zoomed(0.8)
    assert found.pixel_nm == pytest.approx(12.5)


def test_targets_of_different_known_sizes_are_zoomed_in_proportion():
    other = Record("u", volume(em_stack(6, sections=2, size=96)[0], 16.0, "u"), domain="target")
    domains = domains_of([source(None), target(8.0), other], harmonise=True, edge=8.0)
    found = replace(domains, stored=(target().image.read(), other.image.read())).zoomed(0.75)
    assert found.target.zooms == (0.75, 1.5)
    assert [stack.shape for stack in found.target.images] == [(2, 72, 72), (2, 144, 144)]
    assert found.pixel_nm == pytest.approx(8 / 0.75)


def test_nothing_is_resampled_where_that_is_not_wanted():
    given = [source(4.0), target(None)]
    domains = domains_of(given, harmonise=False, edge=8.0)
    assert np.array_equal(domains.target.images[0], given[1].image.read())
    assert domains.pixel_nm is None


@pytest.mark.parametrize(
    ("ours", "theirs", "gaps"),
    [
        (45.0, 45.0, (1, 1)),
        (50.0, 5.0, (1, 10)),
        (9.0, 30.0, (3, 1)),
        (45.0, None, (1, 1)),
        (None, 5.0, (1, 1)),
    ],
)
def test_pairs_of_sections_are_equally_far_apart(
    ours: float | None, theirs: float | None, gaps: tuple[int, int]
) -> None:
    given = [
        replace(record, image=replace(record.image, voxel=Voxel(z=depth, y=8.0, x=8.0)))
        for record, depth in ((source(), ours), (target(), theirs))
    ]
    for harmonise in (False, True):
        assert domains_of(given, harmonise=harmonise, edge=8.0).gaps == gaps
    unknown = replace(given[1], image=replace(given[1].image, voxel=None))
    assert domains_of([given[0], unknown], harmonise=True, edge=8.0).gaps == (1, 1)


@pytest.mark.parametrize(
    ("records", "error", "message"),
    [
        ([target()], UsageError, "--source"),
        ([source()], UsageError, "no target volume"),
        ([replace(source(), labels=None), target()], DataError, "no labels"),
        ([replace(source(), labels=lambda: np.zeros((2, 96, 96), int)), target()], DataError, "above 0"),
        ([replace(source(), labels=lambda: np.ones((2, 50, 96), int)), target()], DataError, "shape"),
        ([source(), replace(target(), labels=lambda: np.zeros(0))], UsageError, "could be read"),
        ([source(), Record("t", source().image)], DataError, "the same voxels as the source"),
        ([source(), Record("t", volume(np.zeros((2, 96, 96), np.uint8)))], DataError, "black"),
        ([source(), source(None, seed=3), target()], DataError, "1 of 2 volumes have no pixel size"),
        ([source(0.5), target()], DataError, "would shrink"),
    ],
)
def test_what_cannot_be_adapted_is_refused(records, error, message):
    with pytest.raises(error, match=message):
        domains_of(records, harmonise=True, edge=8.0)


@pytest.mark.parametrize("small", ["source", "target"])
def test_sections_too_small_for_a_network_are_refused_without_resampling_too(small: str):
    image, mask = em_stack(3, sections=2, size=96)
    place = slice(None), slice(40), slice(None)
    given = {"source": source(), "target": target()}
    given[small] = replace(given[small], image=volume(image[place], name=f"{small}.tif"))
    if small == "source":
        given["source"] = replace(given["source"], labels=lambda: mask[place])
    with pytest.raises(
        DataError, match=rf"{small}\.tif: sections of 40 x 96 pixels.* 48 x 48 pixels or more"
    ):
        domains_of([*given.values()], harmonise=False, edge=8.0)


def test_black_sections_are_no_obstacle():
    image = target().image.read().copy()
    image[0] = 0
    domains = domains_of([source(), Record("t", volume(image))], harmonise=True, edge=8.0)
    assert not domains.target.images[0][0].any()


def test_other_types_become_bytes_between_their_quantiles():
    ramp = np.linspace(1000, 3000, 64 * 64).reshape(1, 64, 64)
    for array in (ramp.astype(np.uint16), ramp.astype(np.float32) / 3000):
        found = as_bytes(volume(array))
        assert found.dtype == np.uint8
        assert (found.min(), found.max()) == (0, 255)


def test_parts_of_a_volume_become_the_bytes_of_the_whole():
    noise = np.random.default_rng(0).normal(1000, 300, (3, 64, 64)).clip(0)
    for array in (noise.astype(np.uint8), noise.astype(np.uint16), noise.astype(np.float32)):
        given = volume(array)
        part = stretched(given[1:3, 5:40], grey_range(given))
        np.testing.assert_array_equal(part, as_bytes(given)[1:3, 5:40])


def test_resampling_keeps_the_mean():
    stack = em_stack(1, sections=1, size=160)[0]
    assert resample(stack, 0.5).mean() == pytest.approx(stack.mean(), abs=1)


def test_resampled_sections_are_kept_as_bytes_alone(monkeypatch):
    stack = np.random.default_rng(0).integers(0, 255, (6, 200, 200), dtype=np.uint8)
    interpolate, made, alive = F.interpolate, [], []

    def watched(*args, **options):
        alive.append(sum(each() is not None for each in made))
        scaled = interpolate(*args, **options)
        made.append(weakref.ref(scaled))
        return scaled

    monkeypatch.setattr(F, "interpolate", watched)
    found = resample(stack, 0.5)
    assert max(alive) <= 1
    floats = torch.from_numpy(stack.astype(np.float32))[:, None]
    whole = interpolate(floats, size=(100, 100), mode="bilinear", antialias=True)
    assert np.array_equal(found, whole[:, 0].round().clamp(0, 255).numpy())
