import numpy as np
import pytest

from morula.post import merge_looks

FULL = np.ones((28, 28))


def merged(*objects: tuple[list[float], float, int], count: int = 2) -> tuple[np.ndarray, ...]:
    boxes, scores, looks = (np.array(each) for each in zip(*objects, strict=True))
    return merge_looks(boxes, np.stack([FULL] * len(boxes)), scores, looks, count)


def test_an_object_of_two_looks_is_one_of_mean_box_and_score() -> None:
    boxes, masks, scores = merged(([0.0, 0, 20, 20], 0.9, 0), ([2.0, 0, 22, 20], 0.5, 1))
    assert boxes.tolist() == [[1, 0, 21, 20]] and scores.tolist() == [pytest.approx(0.7)]
    assert masks.shape == (1, 28, 28)
    assert (masks[0, :, 2:-2] == 1).all() and (masks[0, :, [0, -1]] == 0.5).all()


def test_what_one_look_alone_found_is_worth_less_and_comes_last() -> None:
    alone = ([40.0, 40, 60, 60], 0.9, 0)
    boxes, _, scores = merged(alone, ([0.0, 0, 20, 20], 0.6, 0), ([0.0, 0, 20, 20], 0.5, 1))
    assert scores.tolist() == pytest.approx([0.55, 0.45])
    assert boxes.tolist() == [[0, 0, 20, 20], [40, 40, 60, 60]]


def test_neighbours_of_one_look_stay_two_and_each_look_gives_one() -> None:
    close = [0.0, 0, 20, 20], [1.0, 0, 21, 20]
    boxes, _, _ = merged((close[0], 0.9, 0), (close[1], 0.8, 0))
    assert len(boxes) == 2
    boxes, _, scores = merged((close[0], 0.9, 0), (close[1], 0.8, 1), (close[0], 0.7, 1))
    assert scores.tolist() == pytest.approx([0.8, 0.4])


def test_masks_that_lie_apart_are_two_objects_whatever_their_boxes() -> None:
    upper, lower = np.triu(FULL), np.tril(FULL, -1)
    box = np.array([[0.0, 0, 20, 20]] * 2)
    for masks, expected in ((np.stack([upper, lower]), 2), (np.stack([upper, upper]), 1)):
        assert len(merge_looks(box, masks, np.array([0.9, 0.8]), np.array([0, 1]), 2)[0]) == expected


def test_the_order_of_the_looks_does_not_matter() -> None:
    draw = np.random.default_rng(0)
    corners = draw.uniform(0, 60, (12, 2))
    boxes = np.tile(np.hstack([corners, corners + 16]), (3, 1)) + draw.normal(0, 1, (36, 4))
    masks, scores = draw.uniform(0.3, 1, (36, 28, 28)), draw.uniform(0.1, 1, 36)
    looks = np.repeat([0, 1, 2], 12)
    found = merge_looks(boxes, masks, scores, looks, 3)
    order = draw.permutation(36)
    again = merge_looks(boxes[order], masks[order], scores[order], 2 - looks[order], 3)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert 12 <= len(found[0]) < 36


def test_a_box_without_area_is_left_out() -> None:
    boxes, _, scores = merged(
        ([5.0, 5, 5, 9], 0.9, 0), ([0.0, 0, 20, 20], 0.8, 0), ([0.0, 0, 20, 20], 0.8, 1)
    )
    assert boxes.tolist() == [[0, 0, 20, 20]] and scores.tolist() == [0.8]


def test_nothing_gives_nothing() -> None:
    found = merge_looks(np.zeros((0, 4)), np.zeros((0, 28, 28)), np.zeros(0), np.zeros(0, int), 8)
    assert [len(each) for each in found] == [0, 0, 0]
