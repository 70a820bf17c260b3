from dataclasses import replace

import numpy as np
import pytest

from morula.metrics import (
    Packed,
    Shapes,
    composite,
    consensus,
    normalised_entropy,
    objections,
    shapes,
    solidity,
    with_consensus,
)

PRIOR = Shapes(
    count=60,
    fraction=0.06,
    area=3000.0,
    plain_area=2000.0,
    pixel_area=25.0,
    spread=1.0,
    solidity=0.9,
    overlap=0.8,
)


def cubes(*corners: tuple[int, int], edge: int = 8, sections: int = 4) -> np.ndarray:
    mask = np.zeros((sections, 64, 64), bool)
    for y, x in corners:
        mask[:, y : y + edge, x : x + edge] = True
    return mask


def test_shapes_by_hand() -> None:
    mask = cubes((0, 0), (20, 20))
    mask[0, 40:44, 40:44] = True
    found = shapes([mask, mask[:1]], pixel_area=4.0)
    assert (found.count, found.pixel_area) == (2 * 4 + 1 + 3, 4.0)
    assert found.fraction == pytest.approx((8 * 64 + 16 + 2 * 64 + 16) / (5 * 64 * 64))
    logs = np.log([64.0] * 10 + [16.0] * 2)
    assert found.plain_area == pytest.approx(np.exp(logs.mean()))
    assert found.area == pytest.approx(np.exp(np.average(logs, weights=np.exp(logs))))
    assert found.spread == pytest.approx(logs.std())
    assert found.solidity == pytest.approx(solidity(mask)) == 1.0
    assert found.overlap == pytest.approx(2 * (3 * 128) / (3 * 128 + 2 * 128 + 128 + 16))


def test_sections_are_overlapped_with_those_as_far_away() -> None:
    deep = cubes((0, 0), (20, 20))
    deep[1, 20:28, 20:28] = False
    thin = deep.repeat(3, axis=0)
    assert shapes([thin], gap=3).overlap == pytest.approx(shapes([deep]).overlap)
    assert shapes([thin]).overlap > shapes([deep]).overlap + 0.05
    assert shapes([deep], gap=4).overlap is None


def test_an_empty_mask_has_shapes_too() -> None:
    found = shapes([np.zeros((2, 9, 9))])
    assert (found.count, found.area, found.plain_area, found.spread, found.overlap) == (0, 0, 0, 0, None)
    assert composite(found, PRIOR).score < -100
    with pytest.raises(ValueError, match="at least one"):
        shapes([])


def test_the_prior_itself_is_perfect_and_all_else_is_worse() -> None:
    assert composite(PRIOR, PRIOR).score == 0.0
    changes = {"area": 1500.0, "spread": 1.6, "solidity": 0.8, "fraction": 0.01, "overlap": 0.5}
    for name, value in changes.items():
        verdict = composite(replace(PRIOR, **{name: value}), PRIOR)
        assert verdict.terms[name].penalty > 0.3
        assert verdict.score == -verdict.terms[name].penalty
        assert not verdict.objections


def test_the_fraction_may_vary_threefold_and_more_overlap_is_no_fault() -> None:
    for change in ({"fraction": 0.021}, {"fraction": 0.179}, {"overlap": 0.95}):
        assert composite(replace(PRIOR, **change), PRIOR).score == 0.0


def test_areas_are_compared_in_nm_only_where_both_are_known() -> None:
    finer = replace(PRIOR, area=4 * PRIOR.area, plain_area=4 * PRIOR.plain_area, pixel_area=25.0 / 4)
    assert composite(finer, PRIOR).score == pytest.approx(0.0)
    assert composite(replace(finer, pixel_area=None), PRIOR).terms["area"].penalty > 1
    assert composite(finer, replace(PRIOR, pixel_area=None)).terms["area"].penalty > 1


@pytest.mark.parametrize(
    ("change", "evidence", "reason"),
    [
        ({"count": 0}, {}, "no object"),
        ({"fraction": 0.8}, {}, "80% of all pixels"),
        ({"area": 18000.0, "plain_area": 12000.0}, {}, "6.0 times larger"),
        ({"area": 400.0, "plain_area": 30.0}, {}, "7.5 times smaller"),
        ({"overlap": 0.1}, {}, "by chance"),
        ({}, {"predictability": 0.0, "edges": 0.0}, "nothing to do with the image"),
    ],
)
def test_what_cannot_be_is_said_and_ranks_last(
    change: dict[str, float], evidence: dict[str, float], reason: str
) -> None:
    found = replace(PRIOR, **change)
    assert reason in "; ".join(objections(found, PRIOR, evidence))
    poor = replace(PRIOR, area=700.0, spread=2.5, solidity=0.5, fraction=0.01, overlap=0.3)
    assert not objections(poor, PRIOR)
    assert composite(found, PRIOR, evidence).score < composite(poor, PRIOR).score


def test_a_merger_or_many_specks_alone_are_no_objection() -> None:
    assert not objections(replace(PRIOR, area=30_000.0), PRIOR)
    assert not objections(replace(PRIOR, plain_area=100.0), PRIOR)


def test_evidence_counts_and_strange_evidence_is_refused() -> None:
    better = composite(
        PRIOR, PRIOR, {"predictability": 0.5, "edges": 0.2, "disagreement": 0.1, "entropy": 0.2}
    )
    worse = composite(
        PRIOR, PRIOR, {"predictability": 0.3, "edges": 0.1, "disagreement": 0.4, "entropy": 0.6}
    )
    assert worse.score < better.score < 0
    assert composite(PRIOR, PRIOR, {"predictability": 0.9, "edges": 0.5}).score == 0.0
    with pytest.raises(ValueError, match="no evidence"):
        composite(PRIOR, PRIOR, {"beauty": 1.0})
    with pytest.raises(ValueError, match="finite"):
        composite(PRIOR, PRIOR, {"entropy": float("nan")})


def test_consensus_is_with_the_majority_of_the_others() -> None:
    a, b, c = (cubes((0, 0)), cubes((0, 0), (20, 20)), cubes((40, 40)))
    assert consensus([a, a, b, c], [1, 1, 1, 1]) == pytest.approx([0.0, 0.0, 0.5, 1.0])
    assert consensus([a, c], [1.0, 0.0]) == [0.0, 1.0]


def test_many_bad_candidates_that_agree_do_not_outvote_the_good() -> None:
    good, bad = cubes((0, 0), (20, 20)), cubes((40, 40), edge=3)
    fine, poor = (
        composite(PRIOR, PRIOR),
        composite(replace(PRIOR, area=700.0, spread=3.0, solidity=0.3), PRIOR),
    )
    empty = composite(shapes([np.zeros((2, 9, 9))]), PRIOR)
    verdicts = with_consensus(
        [fine, fine, *[poor] * 6, *[empty] * 6], [good] * 2 + [bad] * 6 + [bad & False] * 6
    )
    assert verdicts[0].terms["dissent"].value == 0.0
    assert verdicts[2].terms["dissent"].value == 1.0
    assert verdicts[0].score > verdicts[2].score > verdicts[8].score


def test_entropy_of_certain_and_uncertain_predictions() -> None:
    certain = np.zeros((4, 10, 10))
    certain[:, 2:8, 2:8] = 1.0
    assert normalised_entropy(certain) < 1e-4
    hazy = certain.copy()
    hazy[:, 2, 2:8] = 0.5
    assert normalised_entropy(hazy) == pytest.approx(6 / 36, abs=1e-3)
    assert normalised_entropy(np.full((2, 3), 0.5)) == 1.0


def test_packed_masks_agree_as_the_masks_do() -> None:
    masks = list(np.random.default_rng(0).random((4, 61)) < 0.5)
    packed = Packed([np.packbits(mask) for mask in masks], 61)
    assert consensus(packed, [1.0, 0.5, 0.0, 2.0]) == consensus(masks, [1.0, 0.5, 0.0, 2.0])
