"""What predictions by blocks share: where they may write, with what, and how they tell of it."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from morula.core.errors import DataError, UsageError
from morula.core.files import aside_of, has_content, write_json, writing
from morula.core.hashing import file_sha256
from morula.core.types import Axes, Volume
from morula.data.ome_zarr import StoredArray, create_image, create_labels
from morula.data.ome_zarr.store import is_remote

if TYPE_CHECKING:
    from rich.console import Console

    from morula.blockwise import BlockGrid, BlockModel

__all__ = [
    "VOXELS",
    "address_of",
    "check_out",
    "decoded_grid",
    "empty",
    "levels_of",
    "predicted_grid",
    "steps_of",
    "threads_of",
    "unit_of",
    "weights_of",
    "work_of",
    "working",
]

VOXELS = 2**24
"""Of a block; less than 1 GB with the nine maps of the neuron recipes while it is predicted."""

_LOCK = "lock"
_SHARD = (64, 256, 256)  # voxels
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # of a file system that has none


def address_of(path: str | Path) -> str:
    """The path as workers in any folder understand it; a URL stays as it is.

    >>> address_of("s3://bucket/a.zarr")
    's3://bucket/a.zarr'
    """
    return str(path) if is_remote(path) else str(Path(path).absolute())


def threads_of(workers: int, executor: str) -> int | None:
    """How many threads each worker takes; None where it counts the cores of its own machine.

    >>> threads_of(1, "dask://login:8786") is None
    True
    """
    from morula.engine import cores

    return None if executor.startswith("dask://") else cores(workers)


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


@contextmanager
def working(out: Path, *, replaced: bool = False) -> Generator[Path]:
    """The folder in which `out` is made, one process at a time; it goes when the block ends well.

    The system takes the lock back when the process ends, however it ends. File systems without locks are
    used without, and so is Windows.

    Args:
        out: what the block makes; the folder is `<out>.work`, its path absolute.
        replaced: whether it may be there already, to be replaced.

    Raises:
        UsageError: another process makes it, or has made it meanwhile.
        DataError: the folder may not be written to.
    """
    folder = work_of(out)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w")
    with lock:
        _hold(lock, folder)
        if not replaced:
            check_out(out)
        yield folder
        gone = folder.rename(aside_of(folder))
    shutil.rmtree(gone, ignore_errors=True)


def work_of(out: Path) -> Path:
    """The folder that `working` makes."""
    return out.with_name(f"{out.name}.work").absolute()


def _hold(lock: IO[str], folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        found = "another process is at work here"
        raise UsageError(folder, found, "wait until it has ended, or choose another --out") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def weights_of(run: Path) -> tuple[str, ...]:
    """What identifies the model of a run; empty where there is none."""
    return tuple(file_sha256(file) for file in sorted((run / "model").glob("*")) if file.is_file())


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

    They are made anew unless all were made: the mark `created.json` beside the store is written last. What
    else is in the folder goes then, for marks of blocks tell of a store that is no more.

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
    if not (has_content(ready) and store.exists()):
        empty(store.parent)
        shape, order = volume.spatial_shape, volume.axes.spatial
        made = {"morula": {"source": volume.address, "labels": labels, **parts}}
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


def empty(folder: Path) -> None:
    """Removes what is in the folder that `working` gave, but for its lock."""
    with writing(folder):
        for each in list(folder.iterdir()):
            if each.is_dir():
                shutil.rmtree(each)
            elif each.name != _LOCK:
                each.unlink()


def predicted_grid(volume: Volume, model: BlockModel, voxels: int) -> BlockGrid:
    """The blocks that the maps of a volume are predicted in, of so many voxels at most."""
    from morula.blockwise import prediction_grid

    return prediction_grid(model, volume.shape, unit_of(volume), voxels)


def decoded_grid(volume: Volume, model: BlockModel, voxels: int) -> BlockGrid:
    """The blocks of the other steps, which take all channels of a block at once."""
    from morula.blockwise import BlockGrid

    share = voxels // len(model.channels)
    return BlockGrid.aligned(volume.shape, unit_of(volume), model.halo, voxels=share)


def unit_of(volume: Volume) -> tuple[int, ...]:
    """A shard of the store."""
    return tuple(min(part, size) for part, size in zip(_SHARD, volume.shape, strict=True))


def steps_of(console: Console | None, voxels: int, stack: ExitStack) -> Any:
    """What tells of each step: a bar with blocks, time left, memory and megavoxels a second.

    Args:
        console: where it goes, None for nowhere.
        voxels: of the whole.
        stack: that closes the last bar.
    """
    bars = ExitStack()
    stack.enter_context(bars)

    def started(step: str, count: int, before: int) -> Any:
        bars.close()
        return bars.enter_context(_bar(console, step, count, before, voxels / count))

    return started


@contextmanager
def _bar(console: Console | None, step: str, count: int, before: int, voxels: float) -> Generator[Any]:
    import psutil
    from rich.console import Console

    from morula.engine import progress

    process, began, done = psutil.Process(), time.monotonic(), 0
    with progress(console or Console(quiet=True), step, count, start=before) as advance:

        def told(index: int) -> None:
            nonlocal done
            del index
            done += 1
            speed = done * voxels / 1e6 / max(time.monotonic() - began, 1e-6)
            advance({"Mvoxel/s": speed, "GB": process.memory_info().rss / 1e9})

        yield told
