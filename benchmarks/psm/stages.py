"""Scores each stage of psm's preset `paper` on MoNuSeg, true instances and the authors' harness side by side.

    python benchmarks/psm/stages.py --data DATA --preset paper-small --seeds 0
    python benchmarks/psm/stages.py --data DATA --preset paper              (made for a GPU)

DATA holds `hist_monuseg/open/images` and `masks` (instance labels). Labels are read after the training. A run
that was stopped goes on; `report.html` in its folder has each stage's picture. Writes `stages.md`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage as ndi
from skimage import measure

from morula.core.files import write_json, write_text
from morula.core.types import Array, Record
from morula.data import load_records
from morula.engine import hardware, launch
from morula.metrics import aji, aji_fast, dice, iou, point_scores
from morula.recipes.psm.paper.fields import at_least, centre_crop
from morula.recipes.psm.paper.segment import segmentation
from morula.workflows.plan import plan
from morula.workflows.predict import open_model
from morula.workflows.train import train_plan

HERE = Path(__file__).parent
RADIUS = 6.0
HEAD = """\
# Preset paper of recipe psm, stage by stage

Made by `python benchmarks/psm/stages.py --data DATA` on the open MoNuSeg crops (26 of 512 px). IoU and F1 are
of pixels, AJI is of true instances. "Authors' AJI" is measured as the public code measures: true nuclei that
touch are merged first (components of the binary truth), and a nucleus without a partner uses up a prediction.
The paper reports **.542** on the 14 test images of MoNuSeg, with ImageNet weights, at full size and with the
epoch chosen by test labels. None of that holds here, so the column stands next to it and does not repeat it.
Points: F1 against the centres of true nuclei, within 6 pixels.

The stages are scored on the part of each image that the preset learns from, its centre crop.
"""


def main() -> None:
    """Trains what is missing, scores it, writes the table."""
    options = _options()
    images = options.data / "hist_monuseg/open/images"
    for seed in options.seeds:
        result = options.results / f"stages-{options.preset}-{seed}.json"
        if result.exists():
            continue
        path = options.work / f"stages-{options.preset}-{seed}"
        made = plan(images, recipe="psm", preset=options.preset)
        train_plan(made, out=path, seed=seed)
        records, _ = load_records(images, labels=options.data / "hist_monuseg/open/masks")
        write_json(result, {"scores": scores(path, records), "hardware": hardware(launch().device)})
    write_text(HERE / "stages.md", table(sorted(options.results.glob("stages-*.json"))))


def scores(path: Path, records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Mean over the images of each stage's scores."""
    (masks,), (points,) = path.glob("*-masks"), path.glob("*-voronoi")
    predict = open_model(path)
    found: dict[str, list[dict[str, float]]] = {}
    for record in records:
        assert record.labels is not None
        whole = record.labels()
        mask = np.load(masks / f"{record.id}-mask.npy")
        crop = mask.shape[0]
        truth = centre_crop(at_least(whole, crop, crop), crop)
        second = segmentation(np.load(points / f"{record.id}-probability.npy").astype(np.float32))
        final = predict(record.image).labels
        inner = centre_crop(at_least(final, crop, crop), crop)
        rows = {
            "3 pseudo-masks": regions(np.asarray(measure.label(mask, connectivity=2)), truth),
            "4 second network": regions(second.labels, truth),
            "5 points": {"points": f1(np.load(points / f"{record.id}-points.npy"), truth)},
            "6 final network": regions(inner, truth),
            "final, whole images": regions(final, whole),
        }
        for name, row in rows.items():
            found.setdefault(name, []).append(row)
    return {
        name: {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        for name, rows in found.items()
    }


def regions(labels: Array, truth: Array) -> dict[str, float]:
    """Pixel and instance scores, and the authors' AJI."""
    merged = np.asarray(measure.label(truth > 0, connectivity=2))
    return {
        "iou": iou(labels, truth),
        "f1": dice(labels, truth),
        "aji": aji(labels, truth),
        "authors": aji_fast(labels, merged),
    }


def f1(points: Array, truth: Array) -> float:
    """Of points `(n, 2)` against the centres of mass of the true objects, within 6 pixels."""
    ids = np.unique(truth[truth > 0])
    centres = np.reshape(ndi.center_of_mass(np.ones(truth.shape), truth, ids), (-1, 2))
    return point_scores({"nucleus": points.astype(float)}, {"nucleus": centres}, RADIUS)["nucleus"].f1


def table(files: Sequence[Path]) -> str:
    """The results as Markdown: means over the seeds."""
    lines = [HEAD]
    for preset in sorted({path.stem.split("-", 1)[1].rsplit("-", 1)[0] for path in files}):
        rows = [json.loads(p.read_text()) for p in files if p.stem.rsplit("-", 1)[0] == f"stages-{preset}"]
        lines += [f"## {preset}, {len(rows)} seed(s)", ""]
        lines += ["| stage | IoU | F1 | AJI | authors' AJI | points |", "|---|---|---|---|---|---|"]
        for stage in rows[0]["scores"]:
            cells = [cell([row["scores"][stage] for row in rows], key) for key in KEYS]
            lines.append(f"| {stage} | {' | '.join(cells)} |")
        lines += ["", f"Hardware: {'; '.join(sorted({row['hardware'] for row in rows}))}.", ""]
    return "\n".join(lines)


KEYS = ("iou", "f1", "aji", "authors", "points")


def cell(rows: Sequence[Mapping[str, float]], key: str) -> str:
    """Mean and spread of a score, or nothing where a stage has none."""
    if key not in rows[0]:
        return ""
    values = [row[key] for row in rows]
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--preset", choices=("paper", "paper-small"), default="paper-small")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks-psm"))
    parser.add_argument("--results", type=Path, default=HERE / "stages")
    return parser.parse_args()


if __name__ == "__main__":
    main()
