"""What can go wrong for a user, each with the exit code that the command line gives it.

An error names the file or key, what was found there, and what to do about it:

>>> print(DataError("cells/a.png", "the file is empty (0 bytes)", "copy it again from the microscope"))
cells/a.png: the file is empty (0 bytes). Fix: copy it again from the microscope.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike

__all__ = ["DataError", "MorulaError", "ResourceError", "TrainingError", "UsageError", "reason_of", "times"]


class MorulaError(Exception):
    """Base of every error that is the world's fault and not a bug; never raised itself.

    Args:
        where: the file, folder or config key at fault.
        found: what was found there, as a phrase without a full stop.
        fix: what the user can do, as a phrase without a full stop.
    """

    exit_code = 1

    def __init__(self, where: str | PathLike[str], found: str, fix: str) -> None:
        self.where, self.found, self.fix = str(where), found, fix
        super().__init__(f"{self.where}: {found}. Fix: {fix}.")

    def __reduce__(self) -> tuple[type[MorulaError], tuple[str, str, str]]:
        """Errors travel between processes whole."""
        return type(self), (self.where, self.found, self.fix)


class UsageError(MorulaError):
    """A wrong option, config key or value: exit code 2."""

    exit_code = 2


class DataError(MorulaError):
    """An image, label or table that cannot be used: exit code 3."""

    exit_code = 3


class ResourceError(MorulaError):
    """Disk, memory, network or device gave out: exit code 4."""

    exit_code = 4


class TrainingError(MorulaError):
    """Training diverged (a loss that is not finite): exit code 4, the last good checkpoint is kept."""

    exit_code = 4


def reason_of(error: Exception) -> str:
    """What a library's error says, as a phrase: its first line, short, without a full stop.

    >>> reason_of(ValueError("bad magic number."))
    'bad magic number'
    >>> reason_of(EOFError())
    'EOFError'
    """
    return (str(error).splitlines() or [type(error).__name__])[0].strip(" .")[:160]


def times(shape: Iterable[int]) -> str:
    """A shape as a phrase.

    >>> times((4, 96, 128))
    '4 x 96 x 128'
    """
    return " x ".join(map(str, shape))
