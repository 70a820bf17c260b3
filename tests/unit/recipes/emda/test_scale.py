from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage as ndi

from em_scene import membranes
from morula.core.types import Array
from morula.recipes.emda.scale import estimate_scale


def resampled(volume: Array, factor: float) -> Array:
    """The volume with pixels `factor` times as large."""
    blur = 0.5 * np.sqrt(max(factor**2 - 1, 0))
    smooth = ndi.gaussian_filter(volume.astype(np.float32), (0, blur, blur))
    return ndi.zoom(smooth, (1, 1 / factor, 1 / factor), order=1)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_factor_between_two_synthetic_volumes(factor: float) -> None:
    source = membranes(0, sections=4, size=320)
    target = resampled(membranes(5, sections=4, size=320), factor)
    assert estimate_scale(source, 20 + 0.4 * target).factor == pytest.approx(factor, rel=0.15)


def test_the_same_seed_gives_the_same_answer() -> None:
    source, target = (membranes(seed, sections=2, size=160) for seed in (0, 9))
    assert estimate_scale(source, target) == estimate_scale(source, target)


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        (np.zeros((4, 64, 64)), "without contrast"),
        (membranes(0)[0], "axes"),
        (membranes(0, sections=2, size=20), "too small"),
    ],
)
def test_refuses_what_has_no_scale(volume: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        estimate_scale(membranes(0, sections=2, size=160), volume)


@pytest.mark.real
@pytest.mark.parametrize("factor", [0.4, 0.65, 1.0, 1.6, 2.5])
def test_every_second_section_of_a_real_volume_against_those_between(factor: float, real_data: Path) -> None:
    volume = tifffile.imread(real_data / "em_vnc_sstem/open/vnc_stack1_raw.tif")[:, :512]
    found = estimate_scale(volume[::4], resampled(volume[1::4], factor))
    assert found.factor == pytest.approx(factor, rel=0.15)
    assert found.confidence > 0.5


@pytest.mark.real
@pytest.mark.parametrize("factor", [0.65, 1.6])
def test_one_half_of_a_real_volume_against_the_other(factor: float, real_data: Path) -> None:
    volume = tifffile.imread(real_data / "em_vnc_sstem/open/vnc_stack1_raw.tif")[::4]
    found = estimate_scale(volume[..., :250], resampled(volume[..., 250:], factor))
    assert found.factor == pytest.approx(factor, rel=0.15)


@pytest.mark.real
def test_volumes_of_two_instruments_are_not_compared_with_confidence(real_data: Path) -> None:
    vnc = tifffile.imread(real_data / "em_vnc_sstem/open/vnc_stack1_raw.tif")[::4]
    other = tifffile.imread(real_data / "em_cdeep3m_mito/open/z010-029_raw.tif")[::4]
    assert estimate_scale(vnc, other).confidence < 0.5
