"""What was found in each image of a run: sizes, confidences, and which image to look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from morula.core.types import Array
from morula.report import Histogram, ImageRow
from morula.workflows.findings import Finding

__all__ = ["histograms", "image_rows"]


def histograms(findings: Sequence[Finding], classes: Sequence[str], unit: str) -> tuple[Histogram, ...]:
    """How large the objects are and how sure, by class where there are several; nothing without a class."""
    if not classes:
        return ()
    names = np.array([name for finding in findings for name in finding.objects.classes])

    def by_class(columns: Iterable[Array]) -> dict[str, Array]:
        values = np.concatenate(list(columns))
        return {name: values[names == name] for name in classes} if len(classes) > 1 else {"": values}

    areas = by_class(finding.objects.areas for finding in findings)
    scores = by_class(finding.objects.scores for finding in findings)
    return (
        Histogram("Object size", areas, "area", unit, "A peak at the far left is often debris."),
        Histogram("Confidence", scores, "confidence", "", "Told without labels.", (0, 1)),
    )


def image_rows(findings: Sequence[Finding]) -> Iterator[ImageRow]:
    """A row for each image, with a flag where something is odd: none or few objects, or a low confidence."""
    few = 0.2 * float(np.median([len(finding.objects) for finding in findings]))
    for finding in findings:
        count = len(finding.objects)
        if not count:
            yield ImageRow(finding.id, 0, flag="no objects")
            continue
        flag = "few objects" if count < few else "low confidence" if finding.confidence < 0.5 else ""
        area = float(np.median(finding.objects.areas))
        yield ImageRow(finding.id, count, area, finding.confidence, flag)
