"""What predictions by blocks share: where they may write, with what, and how they tell of it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morula.core.errors import DataError, UsageError
from morula.core.files import write_json
from morula.core.hashing import file_sha256
from morula.core.types import Axes, Volume
from morula.data.ome_zarr import StoredArray, create_image, create_labels

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["check_out", "levels_of", "steps_of", "weights_of"]


def check_out(out: Path) -> None:
    """Refuses a store that cannot be made.

    Raises:
        UsageError: there is something.
        DataError: the folder may not be written to.
    """
    if out.exists():
        raise UsageError(out, "there is something already", "choose another --out, or move it away")
    parent = next(each for each in out.absolute().parents if each.exists())
    if not os.access(parent, os.W_OK):
        raise DataError(parent, "no permission to write here", "choose another --out")


def weights_of(run: Path) -> list[str]:
    """What identifies the model of a run."""
    return [file_sha256(file) for file in sorted((run / "model").iterdir()) if file.is_file()]


def levels_of(
    store: Path,
    volume: Volume,
    channels: Sequence[str],
    labels: str,
    parts: Mapping[str, Any],
    *,
    chunk: Sequence[int] | None = None,
    shard: Sequence[int] | None = None,
) -> tuple[list[StoredArray], list[StoredArray]]:
    """The levels of the maps and of the labels in the store that will be the result.

    They are made anew unless all were made: the mark `created.json` beside the store is written last.

    Args:
        store: in the folder of the work.
        volume: whose maps and labels they are.
        channels: of the maps.
        labels: their name.
        parts: what the result was made with; part of its metadata.
        chunk: along the axes in space, as `create_labels` takes it.
        shard: likewise.
    """
    from morula.engine import read_json

    ready = store.with_name("created.json")
    if not ready.exists():
        shutil.rmtree(store, ignore_errors=True)
        shape, order = volume.spatial_shape, volume.axes.spatial
        made = {"morula": {"source": volume.uri, "labels": labels, **parts}}
        maps = create_image(
            store, (len(channels), *shape), "uint8", Axes(f"c{order}"), volume.voxel,
            name="maps", channels=channels, attributes=made,
            chunks=chunk and (1, *chunk), shards=shard and (1, *shard),
        )  # fmt: skip
        found = create_labels(store, labels, shape, Axes(order), volume.voxel, chunks=chunk, shards=shard)
        write_json(ready, {"maps": len(maps), "labels": len(found)})
    counts = read_json(ready)
    return (
        [StoredArray(str(store), f"{each}", writable=True, full=True) for each in range(counts["maps"])],
        [
            StoredArray(str(store), f"labels/{labels}/{each}", writable=True)
            for each in range(counts["labels"])
        ],
    )


def steps_of(console: Console | None, voxels: int, stack: ExitStack) -> Any:
    """What tells of each step: a bar with blocks, time left, memory and megavoxels a second.

    Args:
        console: where it goes, None for nowhere.
        voxels: of the whole.
        stack: that closes the last bar.
    """
    bars = ExitStack()
    stack.enter_context(bars)

    def started(step: str, count: int) -> Any:
        bars.close()
        return bars.enter_context(_bar(console, step, count, voxels / count))

    return started


@contextmanager
def _bar(console: Console | None, step: str, count: int, voxels: float) -> Generator[Any]:
    import psutil
    from rich.console import Console

    from morula.engine import progress

    process, began, done = psutil.Process(), time.monotonic(), 0
    with progress(console or Console(quiet=True), step, count) as advance:

        def told(index: int) -> None:
            nonlocal done
            del index
            done += 1
            speed = done * voxels / 1e6 / max(time.monotonic() - began, 1e-6)
            advance({"Mvoxel/s": speed, "GB": process.memory_info().rss / 1e9})

        yield told
