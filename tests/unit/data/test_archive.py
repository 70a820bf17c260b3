"""Archives of public sets: those that are damaged, too large or malicious leave nothing behind."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from morula.core.errors import DataError
from morula.data.sets.archive import Limits, extract
from set_files import zipped


def symlink_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return path


def tarred(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def linked(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


def cut(path: Path) -> Path:
    zipped(path, {"a.bin": np.random.default_rng(0).bytes(9000)})
    content = bytearray(path.read_bytes())
    content[3000:3100] = bytes(100)
    path.write_bytes(content)
    return path


MALICIOUS = {
    "parent": lambda path: zipped(path, {"good.txt": b"x", "../evil.txt": b"x"}),
    "absolute": lambda path: zipped(path, {"/evil.txt": b"x"}),
    "backslash": lambda path: zipped(path, {"..\\evil.txt": b"x"}),
    "drive": lambda path: zipped(path, {"C:evil.txt": b"x"}),
    "link": symlink_zip,
    "bomb": lambda path: zipped(path, {f"{number}": bytes(9_000_000) for number in range(3)}),
    "file and folder": lambda path: zipped(path, {"a": b"x", "a/b": b"x"}),
    "damaged": cut,
    "text": lambda path: path.write_text("no archive") and path,
    "tar parent": lambda path: tarred(path, (tarfile.TarInfo("../evil.txt"), b"x")),
    "tar link": lambda path: tarred(path, (linked("link"), b"")),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_a_bad_archive_leaves_nothing(name: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = MALICIOUS[name](inside / "set.zip")
    with pytest.raises(DataError, match=r"set\.zip.*Fix:"):
        extract(archive, inside / "out", Limits(free=2**20))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["inside", "set.zip"]


def test_many_files_are_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "set.zip", {str(number): b"" for number in range(20)})
    with pytest.raises(DataError, match="11 files"):
        extract(archive, tmp_path / "out", Limits(files=10))


def test_a_tar_archive(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar.gz", (tarfile.TarInfo("deep/a.txt"), b"hello"))
    extract(archive, tmp_path / "out")
    assert (tmp_path / "out" / "deep" / "a.txt").read_bytes() == b"hello"
