import numpy as np
import pytest

from morula.metrics import CrossSections, area_ratio, cross_sections, solidity, tissue_growth

BLOBS = np.zeros((2, 20, 20), bool)
BLOBS[0, 2:6, 2:7] = True  # 20 px, alone in 3D
BLOBS[1, 12:16, 2:6] = BLOBS[1, 12:16, 14:18] = True  # 2 x 16 px


def test_blobs_apart_are_measured_apart() -> None:
    found = cross_sections(BLOBS)
    assert found.section.tolist() == [0, 1, 1]
    assert found.area.tolist() == [20, 16, 16]
    assert solidity(BLOBS) == 1.0
    assert area_ratio(BLOBS) == pytest.approx((20 + 16 + 16) / 3 / 400)


def test_blobs_of_one_object_are_one_cross_section() -> None:
    joined = BLOBS.copy()
    joined[0, 12:16, 2:18] = True  # a bridge in the next section
    found = cross_sections(joined)
    assert sorted(found.area) == [20, 32, 64]
    assert solidity(joined) == pytest.approx((1 + 1 + 32 / 64) / 3)


def test_diagonal_neighbours_are_connected_across_sections() -> None:
    mask = np.zeros((2, 8, 16), bool)
    mask[0, :4, :4] = mask[1, 4:, 4:8] = mask[1, 4:, 12:] = mask[0, 4:, 8:12] = True
    assert sorted(cross_sections(mask).area) == [32, 32]


@pytest.mark.parametrize(("pixels", "counted"), [(10, 0), (11, 1)])
def test_more_than_ten_pixels_count(pixels: int, counted: int) -> None:
    mask = np.zeros((1, 4, 20), bool)
    mask[0, 1, :pixels] = True
    assert len(cross_sections(mask).area) == counted
    assert solidity(mask) == counted


def test_empty() -> None:
    nothing = np.zeros((3, 5, 5), np.uint8)
    assert (solidity(nothing), area_ratio(nothing)) == (0.0, 0.0)


def test_an_image_is_one_section() -> None:
    assert solidity(BLOBS[0]) == 1.0
    assert area_ratio(BLOBS[0]) == 20 / 400


def test_only_tissue_counts_as_area_and_growth_weighs_later_sections() -> None:
    tissue = np.zeros(BLOBS.shape, np.uint8)
    tissue[0, :10], tissue[1] = 7, 7
    assert tissue_growth(tissue) == 2.0
    assert area_ratio(BLOBS, tissue=tissue) == pytest.approx((20 / 200 + 2 * 16 / 400) / 3)
    assert area_ratio(BLOBS, tissue=tissue, growth=2.0) == pytest.approx((20 / 200 + 2 * 3 * 16 / 400) / 3)


def test_pooled() -> None:
    parts = [cross_sections(BLOBS[:1]), cross_sections(BLOBS[1:])]
    assert CrossSections.pooled(parts).area.tolist() == cross_sections(BLOBS).area.tolist()


def test_refuses_what_is_no_stack() -> None:
    with pytest.raises(ValueError, match="axes"):
        solidity(np.zeros((1, 1, 4, 4)))
    with pytest.raises(ValueError, match="differ in shape"):
        area_ratio(BLOBS, tissue=BLOBS[:1])
    with pytest.raises(ValueError, match="two sections"):
        tissue_growth(BLOBS[:1])
    with pytest.raises(ValueError, match="tissue in the first"):
        tissue_growth(np.zeros((2, 4, 4)))
