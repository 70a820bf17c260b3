from __future__ import annotations

import errno
from pathlib import Path

import pytest

from morula.core.errors import DataError, ResourceError
from morula.core.files import atomic_path, remove_partial, write_text, writing


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "expected", "found"),
    [(errno.ENOSPC, ResourceError, "disk is full"), (errno.EACCES, DataError, "no permission")],
)
def test_disk_and_permission_errors_say_what_to_do(
    tmp_path: Path, number: int, expected: type[Exception], found: str
) -> None:
    with pytest.raises(expected, match=found), atomic_path(tmp_path / "sub" / "a.txt"):
        raise OSError(number, "simulated")
    assert list((tmp_path / "sub").iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "kept.tif").touch()
    (tmp_path / ".file.01234567.part.tif").touch()
    (tmp_path / ".folder.01234567.part").mkdir()
    (tmp_path / ".folder.01234567.part" / ".file.01234567.part.tif").touch()
    remove_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.tif"]


@pytest.mark.parametrize("name", ["taken/a.txt", "taken/sub/a.txt"])
def test_a_file_in_the_place_of_a_folder_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(DataError, match=r"taken: a file, and no folder.*choose another folder"):
        write_text(tmp_path / name, "new")
    with pytest.raises(DataError, match=r"taken: a file, and no folder"), writing(tmp_path / "taken"):
        (tmp_path / "taken").mkdir(parents=True)


@pytest.mark.parametrize(
    "said", ["I/O error: No space left on device (os error 28)", "unexpected pos 64 vs 0"]
)
def test_a_full_disk_is_told_by_those_who_raise_no_oserror(tmp_path: Path, said: str) -> None:
    with pytest.raises(ResourceError, match="the disk is full"), atomic_path(tmp_path / "a.pt"):
        raise RuntimeError(said)
    with pytest.raises(RuntimeError, match="another"), atomic_path(tmp_path / "a.pt"):
        raise RuntimeError("another")
    assert not [*tmp_path.iterdir()]
