from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch.nn import functional as F

from morula.core.rng import Rng
from morula.recipes.emda.appearance import crappify, fda, match_histogram, target_quantiles


def grey(mean: float, spread: float, shape: tuple[int, ...] = (64, 64), seed: int = 0) -> np.ndarray:
    draw = Rng(seed, "grey").at(0)
    return draw.normal(mean, spread, shape).clip(1, 255).astype(np.uint8)


def moments(slices: Iterable[np.ndarray]) -> tuple[float, float]:
    """Mean and standard deviation of all pixels that are not padding."""
    seen = np.concatenate([image[image > 0] for image in slices]).astype(float)
    return seen.mean(), seen.std()


@pytest.fixture
def padded() -> np.ndarray:
    image = grey(90, 20)
    image[:, :16] = 0
    return image


def test_matched_images_have_the_targets_mean_and_spread(padded) -> None:
    target = [grey(150, 35, seed=seed) for seed in range(1, 5)]
    target[0][:20] = 0
    matched = match_histogram(padded, target_quantiles(target))
    mean, spread = moments(target)
    assert moments([matched]) == (pytest.approx(mean, abs=1.5), pytest.approx(spread, abs=1.5))


@pytest.mark.real
def test_real_domains_match_each_other(real_data: Path) -> None:
    fly = tifffile.imread(real_data / "em_vnc_sstem" / "open" / "vnc_stack1_raw.tif")
    brain = tifffile.imread(real_data / "em_cdeep3m_mito" / "open" / "z010-029_raw.tif")
    for source, target in ((fly, brain), (brain, fly)):
        quantiles = target_quantiles(target)
        matched = np.stack([match_histogram(section, quantiles) for section in source])
        assert moments(matched) == pytest.approx(moments(target), abs=0.2)
        assert not matched[source == 0].any()
        assert matched.max() <= 254


def test_padding_stays_black_and_nothing_is_brighter_than_254(padded) -> None:
    matched = match_histogram(padded, target_quantiles([grey(250, 30, seed=1)]))
    assert matched.dtype == np.float32
    assert bool((matched[:, :16] == 0).all())
    assert bool((matched[:, 16:] > 0).all())
    assert matched.max() <= 254


def test_matching_keeps_the_order_of_grey_values(padded) -> None:
    matched = match_histogram(padded, target_quantiles([grey(40, 10, seed=1)]))
    order = np.argsort(padded.ravel(), kind="stable")
    assert bool((np.diff(matched.ravel()[order]) >= 0).all())


def test_bytes_and_floats_match_alike(padded) -> None:
    quantiles = target_quantiles([grey(150, 35, seed=1)])
    np.testing.assert_array_equal(
        match_histogram(padded, quantiles), match_histogram(padded.astype(np.float32), quantiles)
    )


def test_a_black_source_stays_black_and_a_black_target_is_refused() -> None:
    black = np.zeros((8, 8), np.uint8)
    assert not match_histogram(black, target_quantiles([grey(90, 20)])).any()
    with pytest.raises(ValueError, match="black"):
        target_quantiles([black])


def test_fda_of_itself_is_itself() -> None:
    image = grey(120, 10, (2, 33, 48))
    np.testing.assert_allclose(fda(image, image, 0.09), image, atol=1e-3)


@pytest.mark.parametrize("beta", [0.01, 0.03, 0.09, 0.3])
def test_fda_exchanges_low_amplitudes_and_keeps_all_phases(beta: float) -> None:
    image, target = grey(120, 8), grey(140, 12, seed=1)
    before, after, wanted = (
        np.fft.fftshift(np.fft.fft2(a)) for a in (image, fda(image, target, beta), target)
    )
    edge = int(beta * 64)
    low = np.zeros((64, 64), bool)
    low[32 - edge : 33 + edge, 32 - edge : 33 + edge] = True
    np.testing.assert_allclose(np.abs(after[low]), np.abs(wanted[low]), rtol=1e-3, atol=0.05)
    np.testing.assert_allclose(np.abs(after[~low]), np.abs(before[~low]), rtol=1e-3, atol=0.05)
    turned = np.angle(after * before.conj())
    assert float(np.abs(turned[np.abs(before) > 50]).max()) < 1e-2


def test_fda_with_beta_0_changes_the_mean_alone() -> None:
    image, target = grey(120, 8), grey(140, 12, seed=1)
    changed = fda(image, target, 0.0) - image.astype(float)
    np.testing.assert_allclose(changed, target.mean() - image.mean(), atol=1e-3)


def test_fda_clips_keeps_padding_and_refuses_what_it_cannot_do(padded) -> None:
    changed = fda(padded, grey(250, 30, seed=1), 0.05, ceiling=200.0)
    assert changed.max() == 200
    assert not changed[padded == 0].any()
    with pytest.raises(ValueError, match="64 x 64"):
        fda(padded, grey(1, 1, (64, 32)), 0.05)
    with pytest.raises(ValueError, match="beta must be"):
        fda(padded, padded, 0.5)


@pytest.mark.parametrize("shape", [(32, 48), (3, 33, 47)])
def test_crappify_without_noise_is_two_bilinear_resizes(shape: tuple[int, ...]) -> None:
    image = grey(120, 40, shape).astype(np.float32)
    even = [length + length % 2 for length in shape[-2:]]
    tensor = torch.from_numpy(image).reshape(1, -1, *shape[-2:])
    tensor = F.pad(tensor, (0, shape[-1] % 2, 0, shape[-2] % 2), mode="replicate")
    small = F.interpolate(tensor, size=[length // 2 for length in even], mode="bilinear")
    large = F.interpolate(small, size=even, mode="bilinear")[..., : shape[-2], : shape[-1]]
    np.testing.assert_allclose(crappify(image, Rng(0), 0, noise=0.0), large.numpy().reshape(shape), rtol=1e-4)


def test_crappify_adds_the_published_noise_within_the_images_range() -> None:
    image = np.full((256, 256), 100.0, np.float32)
    image[0, 0] = 200
    crap = crappify(image, Rng(1, "crap"), 3)
    assert crap.min() >= 0
    assert crap.max() <= 200
    # Clipping at 100 +- 100 leaves 54.9 of a deviation of 60; four pixels are averaged, then blended.
    assert float(crap.std()) == pytest.approx(54.9 / 2 * 0.625, rel=0.03)


def test_crappify_depends_on_stream_and_index_alone() -> None:
    image = grey(120, 40)
    first = crappify(image, Rng(1, "crap"), 3)
    np.testing.assert_array_equal(first, crappify(image, Rng(1, "crap"), 3))
    assert not np.array_equal(first, crappify(image, Rng(1, "crap"), 4))
