"""Files of public sets, and what their loaders make of them."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

from PIL import Image

from morula.core.types import Array, Record


def write_png(path: Path, array: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def labels_of(record: Record) -> Array:
    copy = pickle.loads(pickle.dumps(record))
    assert copy.labels is not None
    return copy.labels()


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path
