"""What predictions by blocks tell, who may work on one, and what is believed of one that was stopped."""

from __future__ import annotations

import errno
import io
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from morula.blockwise import BlockGrid, Work
from morula.core.errors import DataError, UsageError
from morula.core.types import Axes, Volume
from morula.data.ome_zarr import write_image
from morula.workflows.big import BigPrediction
from morula.workflows.big_images import predict_image
from morula.workflows.blocks import levels_of, steps_of, working


@pytest.mark.parametrize(("block", "unit"), [((64, 256, 256), "voxels"), ((2048, 2048), "pixels")])
@pytest.mark.parametrize(
    ("objects", "told"), [(None, "at most 1.50 GB of disk"), (7, "7 objects in 3 blocks")]
)
def test_what_is_told_of_a_prediction(
    block: tuple[int, ...], unit: str, objects: int | None, told: str
) -> None:
    text = str(BigPrediction(Path("a"), "labels/b", objects, 3, block, (8,) * len(block), 1_500_000_000, 2.0))
    assert told in text
    assert f"3 blocks of {' x '.join(map(str, block))} {unit} with a halo of 8" in text


def volume() -> Volume:
    return Volume(np.zeros((2, 16, 16), np.uint8), Axes("zyx"), "a")


def ones(folder: Path, out: Path, ran: list[int]) -> None:
    """A prediction of two blocks; `ran` gets those that were done now."""
    maps, labels = levels_of(
        folder / out.name, volume(), ["map"], "mito", {}, chunk=(1, 16, 16), shard=(1, 16, 16)
    )
    grid = BlockGrid((2, 16, 16), (1, 16, 16), (0, 0, 0))

    def task(index: int) -> dict[str, np.ndarray]:
        ran.append(index)
        maps[0][(slice(None), *grid.write(index))] = np.ones((1, 1, 16, 16), np.uint8)
        return {}

    Work(folder, {}).run("predict", task, grid)
    assert len(labels) == 1 and np.asarray(maps[0][...]).all()
    (folder / out.name).rename(out)


class Killed(BaseException):
    """What no code of ours may catch."""


def killed(*_: object, **__: object) -> None:
    raise Killed


def remove_the_mark(folder: Path) -> None:
    (folder / "created.json").unlink()


def empty_the_mark(folder: Path) -> None:
    (folder / "created.json").write_text("")


@pytest.mark.parametrize("harm", [None, remove_the_mark, empty_the_mark])
def test_blocks_of_a_store_that_is_no_more_are_done_again(
    harm: Callable[[Path], None] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, ran = tmp_path / "a.zarr", []
    with pytest.raises(Killed), working(out) as folder:
        ones(folder, out, ran)
        raise Killed
    if harm is not None:
        harm(folder)
    shutil.move(out, tmp_path / "away")
    with working(out) as folder:
        ones(folder, out, ran)
    assert ran == [0, 1, 0, 1] and sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "away"]


def test_what_is_stopped_while_it_cleans_up_stands_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, ran = tmp_path / "a.zarr", []
    monkeypatch.setattr("morula.workflows.blocks.shutil.rmtree", killed)
    with pytest.raises(Killed), working(out) as folder:
        ones(folder, out, ran)
    assert out.exists() and not folder.exists()


def test_a_table_is_taken_only_from_work_that_was_stopped_before_its_end(tmp_path: Path) -> None:
    write_image(tmp_path / "image.zarr", np.ones((20, 20), np.uint8), Axes("yx"))
    (tmp_path / "a.objects.csv").write_text("id")
    (tmp_path / "a.zarr.work").mkdir()
    predict = partial(predict_image, tmp_path / "run", str(tmp_path / "image.zarr"), tmp_path / "a.zarr")
    with pytest.raises(UsageError, match=r"a\.objects\.csv: there is something already"):
        predict()
    (tmp_path / "a.zarr.work" / "a.zarr").mkdir()
    with pytest.raises(DataError, match="check that the folder is a Morula run"):
        predict()


def test_one_process_at_a_time_makes_a_store(tmp_path: Path) -> None:
    out = tmp_path / "a.zarr"
    with working(out) as folder:
        (folder / "kept").touch()
        with pytest.raises(UsageError, match=r"a\.zarr\.work: another process is at work here"), working(out):
            pass
        assert (folder / "kept").exists()
    out.mkdir()
    with pytest.raises(UsageError, match="there is something already"), working(out):
        pass  # another process has made it before the lock was ours


def test_a_file_system_without_locks_is_used_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int) -> Callable[..., None]:
        def flock(*_: object) -> None:
            raise OSError(number, "no locks")

        return flock

    monkeypatch.setattr("fcntl.flock", refuse(errno.ENOLCK))
    with working(tmp_path / "a.zarr"):
        pass
    monkeypatch.setattr("fcntl.flock", refuse(errno.EIO))
    with pytest.raises(OSError, match="no locks"), working(tmp_path / "a.zarr"):
        pass


def test_windows_is_a_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with working(tmp_path / "a.zarr"):
        pass


def test_blocks_that_were_done_before_are_no_work_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=iter([0.0, 2.0]).__next__)
    monkeypatch.setattr("morula.workflows.blocks.time", clock)
    text = io.StringIO()
    with ExitStack() as stack:
        steps_of(Console(file=text, width=120), 10_000_000, stack)("predict", 10, 9)(9)
    assert "predict: 10/10" in text.getvalue() and "Mvoxel/s 0.5 " in text.getvalue()
