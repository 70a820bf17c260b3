"""Metrics against slow loops over masks, each written from its paper and not from the code under test."""

from itertools import permutations

import numpy as np
import pytest

from morula.metrics import (
    aji,
    aji_fast,
    aji_plus,
    dsb_score,
    ensemble_dice,
    match_points,
    matching,
    object_dice,
    panoptic_quality,
)

SEEDS = range(12)


def discs(rng: np.random.Generator, count: int) -> np.ndarray:
    """`(40, 40)` labels with gaps: discs of random place and size, later ones over earlier ones."""
    y, x = np.mgrid[:40, :40]
    labels = np.zeros((40, 40), int)
    for name in rng.choice(np.arange(1, 60), count, replace=False):
        centre_y, centre_x, radius = rng.uniform(4, 36), rng.uniform(4, 36), rng.uniform(3, 8)
        labels[(y - centre_y) ** 2 + (x - centre_x) ** 2 < radius**2] = name
    return labels


def pair(seed: int, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A truth and a prediction that follows it, with merges, shifts and false objects."""
    rng = np.random.default_rng(seed)
    truth = discs(rng, count)
    pred = np.roll(truth, tuple(rng.integers(-2, 3, 2)), (0, 1))
    names = np.unique(pred)[1:]
    pred = np.where(pred == names[0], names[-1], pred)
    extra = discs(rng, 2)
    return np.where((extra > 0) & (pred == 0), extra + 60, pred), truth


def masks(labels: np.ndarray) -> list[np.ndarray]:
    return [labels == name for name in np.unique(labels) if name]


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def overlap_dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def loop_aji(pred: np.ndarray, truth: np.ndarray, *, published_by_psm: bool = False) -> float:
    shared = covered = 0
    used = set()
    found = masks(pred)
    for g in masks(truth):
        best = int(np.argmax([jaccard(g, s) for s in found]))
        if not (g & found[best]).any() and not published_by_psm:
            covered += g.sum()
            continue
        shared += (g & found[best]).sum()
        covered += (g | found[best]).sum()
        used.add(best)
    covered += sum(s.sum() for j, s in enumerate(found) if j not in used)
    return shared / covered


def all_assignments(rows: int, columns: int):
    """Every one-to-one assignment of the smaller side, as lists of (row, column)."""
    if rows <= columns:
        return ([*zip(range(rows), chosen, strict=True)] for chosen in permutations(range(columns), rows))
    return ([*zip(chosen, range(columns), strict=True)] for chosen in permutations(range(rows), columns))


def loop_aji_plus(pred: np.ndarray, truth: np.ndarray) -> float:
    g, s = masks(truth), masks(pred)
    best = max(all_assignments(len(g), len(s)), key=lambda ij: sum(jaccard(g[i], s[j]) for i, j in ij))
    met = [(i, j) for i, j in best if (g[i] & s[j]).any()]
    shared = sum((g[i] & s[j]).sum() for i, j in met)
    covered = sum((g[i] | s[j]).sum() for i, j in met)
    covered += sum(mask.sum() for i, mask in enumerate(g) if i not in {i for i, _ in met})
    covered += sum(mask.sum() for j, mask in enumerate(s) if j not in {j for _, j in met})
    return shared / covered


def loop_object_dice(pred: np.ndarray, truth: np.ndarray) -> float:
    def one_way(objects: list[np.ndarray], partners: list[np.ndarray]) -> float:
        total = sum(mask.sum() for mask in objects)
        score = 0.0
        for mask in objects:
            shared = [(mask & other).sum() for other in partners]
            if max(shared):
                score += mask.sum() / total * overlap_dice(mask, partners[int(np.argmax(shared))])
        return score

    return (one_way(masks(truth), masks(pred)) + one_way(masks(pred), masks(truth))) / 2


def loop_true_positives(pred: np.ndarray, truth: np.ndarray, threshold: float) -> int:
    g, s = masks(truth), masks(pred)
    passed = np.array([[jaccard(a, b) >= threshold for b in s] for a in g])
    return max(sum(passed[i, j] for i, j in ij) for ij in all_assignments(len(g), len(s)))


@pytest.mark.parametrize("seed", SEEDS)
def test_aggregated_jaccard(seed: int) -> None:
    pred, truth = pair(seed)
    assert aji(pred, truth) == pytest.approx(loop_aji(pred, truth), abs=1e-12)
    assert aji_fast(pred, truth) == pytest.approx(loop_aji(pred, truth, published_by_psm=True), abs=1e-12)
    assert aji_plus(pred, truth) == pytest.approx(loop_aji_plus(pred, truth), abs=1e-12)


def test_aji_fast_on_missed_nuclei() -> None:
    for seed in SEEDS:
        pred, truth = pair(seed)
        pred = np.where(truth == np.unique(truth)[-1], 0, pred)
        pred[truth == np.unique(truth)[1]] = 0
        assert aji_fast(pred, truth) == pytest.approx(loop_aji(pred, truth, published_by_psm=True), abs=1e-12)
        assert aji_fast(pred, truth) < aji(pred, truth)


@pytest.mark.parametrize("seed", SEEDS)
def test_object_and_ensemble_dice(seed: int) -> None:
    pred, truth = pair(seed)
    assert object_dice(pred, truth) == pytest.approx(loop_object_dice(pred, truth), abs=1e-12)
    touching = [(a, b) for a in masks(truth) for b in masks(pred) if (a & b).any()]
    pooled = 2 * sum((a & b).sum() for a, b in touching) / sum(a.sum() + b.sum() for a, b in touching)
    assert ensemble_dice(pred, truth) == pytest.approx(pooled, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_matching(seed: int) -> None:
    pred, truth = pair(seed, count=5)
    expected, predicted = len(masks(truth)), len(masks(pred))
    scores = []
    for threshold in (0.1, 0.25, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95):
        tp = loop_true_positives(pred, truth, threshold)
        counts = matching(pred, truth, threshold).counts
        assert (counts.tp, counts.fp, counts.fn) == (tp, predicted - tp, expected - tp)
        scores.append(tp / (expected + predicted - tp))
    assert dsb_score(pred, truth) == pytest.approx(np.mean(scores[2:]), abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_panoptic_quality(seed: int) -> None:
    pred, truth = pair(seed)
    ious = [jaccard(a, b) for a in masks(truth) for b in masks(pred)]
    matched = [iou for iou in ious if iou > 0.5]
    objects = len(masks(truth)) + len(masks(pred))
    pq, dq, sq = panoptic_quality(pred, truth)
    assert pq == pytest.approx(sum(matched) / (objects / 2), abs=1e-12)
    assert dq == pytest.approx(2 * len(matched) / objects, abs=1e-12)
    assert sq == pytest.approx(np.mean(matched) if matched else 0.0, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_points_of_least_total_distance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pred, truth = rng.uniform(0, 20, (5, 2)), rng.uniform(0, 20, (4 + seed % 3, 2))
    distances = [[np.hypot(*(a - b)) for b in pred] for a in truth]
    ways = all_assignments(len(truth), len(pred))
    best = min(ways, key=lambda ij: sum(distances[i][j] for i, j in ij))
    near = sorted((i, j) for i, j in best if distances[i][j] <= 5)
    of_pred, of_truth = match_points(pred, truth, 5.0)
    assert sorted(zip(of_truth.tolist(), of_pred.tolist(), strict=True)) == near
