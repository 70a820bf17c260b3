"""Getting an archive from the network and unpacking it, trusting neither."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import platformdirs
import pooch

from morula.core.errors import DataError, ResourceError, reason_of
from morula.core.files import atomic_path, write_text
from morula.core.hashing import file_sha256
from morula.data.whole import atomic_folder

__all__ = ["Limits", "cache_folder", "extract", "fetch", "first_seen"]

# What damaged archives raise, and members that are both a file and a folder. A full disk is none of these.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
)


@dataclass(frozen=True)
class Limits:
    """What an honest archive stays below.

    Attributes:
        files: number of members.
        size: total unpacked bytes.
        ratio: unpacked bytes per packed byte, once more than `free` bytes come out.
        free: bytes that any archive may unpack to.
    """

    files: int = 200_000
    size: int = 40 * 2**30
    ratio: float = 100.0
    free: int = 2**26

    def passed(self, count: int, total: int, packed: int) -> bool:
        """Whether `count` members that make `total` bytes of `packed` ones are too much."""
        inflated = total > self.free and total / packed > self.ratio
        return count > self.files or total > self.size or inflated


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    is_folder: bool
    is_plain: bool


def cache_folder() -> Path:
    """Where downloads are kept: `MORULA_CACHE`, else the user's cache folder."""
    named = os.environ.get("MORULA_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("morula"))


def fetch(url: str, sha256: str | None, cache: Path, name: str, *, command: str) -> Path:
    """Downloads `url` to `cache / name`, unless it is there with the right checksum.

    Without a published checksum the first download is trusted and its SHA-256 kept beside it in
    `name.sha256`, so that a later change is noticed. What is not whole, or not what was published, never
    gets the file's name.

    Args:
        url: where the file is.
        sha256: its published checksum or the first digits of it, None where there is none.
        cache: folder to keep it in.
        name: file name to keep it under.
        command: what the user can run to repeat the download.

    Raises:
        ResourceError: no network, a wrong checksum, a web page in place of the file, or no room for it.
    """
    path = cache / name
    known = sha256 or first_seen(path)
    if path.is_file() and (known is None or file_sha256(path).startswith(known.lower())):
        return path
    try:
        with atomic_path(path) as temporary:
            pooch.HTTPDownloader()(_direct(url), str(temporary), None)
            seen = file_sha256(temporary)
            if known is None:
                _refuse_web_page(temporary, url, command)
            elif not seen.startswith(known.lower()):
                told = "was published" if sha256 else "was that of the first download"
                fix = f"try again later with `{command}`, and report it if it stays"
                if not sha256:
                    fix = f"if the new file is the right one, delete {_note(path)} and run `{command}`"
                raise ResourceError(url, f"the download has the SHA-256 {seen}, where {known} {told}", fix)
    except DataError as error:
        raise ResourceError(
            cache, error.found, "set MORULA_CACHE to a folder that you may write to"
        ) from error
    except OSError as error:
        fix = f"with a network, run `{command}`"
        raise ResourceError(url, f"cannot be downloaded ({reason_of(error)})", fix) from error
    if known is None:
        write_text(_note(path), seen + "\n")
    return path


def first_seen(path: Path) -> str | None:
    """The SHA-256 noted when a file without a published checksum was first downloaded."""
    note = _note(path)
    return note.read_text(encoding="utf-8").strip() if note.is_file() else None


def extract(archive: Path, folder: Path, limits: Limits | None = None) -> None:
    """Unpacks a zip or tar archive into `folder`, all of it or nothing.

    Args:
        archive: the file.
        folder: where to; replaced if it exists.
        limits: what to refuse; the defaults fit the public sets.

    Raises:
        DataError: damaged, encrypted, a member outside the folder, a link or device, or an archive bomb.
        ResourceError: the disk is full.
    """
    limits = limits or Limits()
    packed = max(archive.stat().st_size, 1)
    count = total = 0
    with atomic_folder(folder) as temporary, _decoding(archive):
        for member, stream in _zip_members(archive) if zipfile.is_zipfile(archive) else _tar_members(archive):
            count, total = count + 1, total + member.size
            _check_member(archive, member)
            if limits.passed(count, total, packed):
                found = f"unpacks to more than {count:,} files or {total:,} bytes from {packed:,}"
                raise DataError(archive, found, "delete it: it is a bomb, or not what it claims to be")
            _unpack(member, stream, temporary / member.name)


@contextmanager
def _decoding(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        found = f"damaged, or not a zip or tar archive ({reason_of(error)})"
        raise DataError(archive, found, "delete it and download it again") from error


def _zip_members(archive: Path) -> Iterator[tuple[_Member, IO[bytes] | None]]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            is_plain = kind in {0, stat.S_IFREG, stat.S_IFDIR} and not info.flag_bits & 1
            member = _Member(info.filename, info.file_size, info.is_dir(), is_plain)
            if info.is_dir() or not is_plain:
                yield member, None
                continue
            with file.open(info) as stream:
                yield member, stream


def _tar_members(archive: Path) -> Iterator[tuple[_Member, IO[bytes] | None]]:
    with tarfile.open(archive) as file:
        for info in file:
            member = _Member(info.name, info.size, info.isdir(), info.isreg() or info.isdir())
            yield member, file.extractfile(info) if info.isreg() else None


def _check_member(archive: Path, member: _Member) -> None:
    path = PurePosixPath(member.name)
    outside = path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name
    if outside or "\0" in member.name:
        found = f"a member that would be written outside the folder ({member.name})"
        raise DataError(archive, found, "delete it: honest archives do not do this")
    if not member.is_plain:
        found = f"a member that is a link, a device or encrypted ({member.name})"
        raise DataError(archive, found, "delete it and get the set from its own page")


def _unpack(member: _Member, stream: IO[bytes] | None, target: Path) -> None:
    if member.is_folder or stream is None:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        shutil.copyfileobj(stream, out)


def _direct(url: str) -> str:
    """Google Drive asks before it hands out large files; `confirm` answers."""
    return f"{url}&confirm=t" if "drive.google.com" in url else url


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _refuse_web_page(path: Path, url: str, command: str) -> None:
    with path.open("rb") as stream:
        start = stream.read(256).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        fix = f"open the address in a browser, or try later with `{command}`"
        raise ResourceError(url, "the server sent a web page in place of the file", fix)
