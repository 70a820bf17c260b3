import numpy as np

from morula.post import paste_masks

FULL = np.ones((28, 28))


def disc(size: int) -> np.ndarray:
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    return (y**2 + x**2 <= 0.25).astype(float)


def test_a_mask_fills_its_box_and_nothing_else() -> None:
    labels, drawn = paste_masks(np.array([[3.0, 5.0, 9.0, 8.0]]), FULL[None], (12, 14))
    expected = np.zeros((12, 14), np.int32)
    expected[5:8, 3:9] = 1
    assert np.array_equal(labels, expected) and drawn.tolist() == [0]


def test_a_disc_keeps_its_shape_at_another_size() -> None:
    labels, _ = paste_masks(np.array([[10.0, 10.0, 66.0, 66.0]]), disc(28)[None], (80, 80))
    assert np.mean((labels[10:66, 10:66] > 0) != disc(56)) < 0.03


def test_the_best_comes_first_and_its_double_is_dropped() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 10, 10], [8, 0, 18, 10]], float)
    labels, drawn = paste_masks(boxes, np.stack([FULL] * 3), (12, 20))
    assert drawn.tolist() == [0, 2]
    assert (labels == 1).sum() == 100 and (labels == 2).sum() == 80


def test_boxes_outside_or_without_area_draw_nothing() -> None:
    boxes = np.array([[-20, -20, -5, -5], [3, 3, 3, 9], [30, 30, 40, 40], [-4, -4, 3, 3]], float)
    labels, drawn = paste_masks(boxes, np.stack([FULL] * 4), (12, 12))
    assert drawn.tolist() == [3]
    assert labels.sum() == 9 and (labels[:3, :3] == 1).all()


def test_nothing_gives_an_empty_image() -> None:
    labels, drawn = paste_masks(np.zeros((0, 4)), np.zeros((0, 28, 28)), (4, 5))
    assert labels.shape == (4, 5) and not labels.any() and len(drawn) == 0
