"""Counter-based randomness: sample `i` of a stream depends on (seed, stream, i) and on nothing else.

So the number of workers, the order of reading and a resume change nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

__all__ = ["Rng"]


@dataclass(frozen=True)
class Rng:
    """A named stream of random generators.

    >>> stream = Rng(0, "augment")
    >>> stream.at(7).integers(100) == stream.at(7).integers(100)
    np.True_
    >>> stream.child("views").stream
    'augment/views'
    """

    seed: int
    stream: str = ""

    def at(self, index: int) -> np.random.Generator:
        """A fresh generator for sample `index`."""
        return np.random.Generator(np.random.Philox(key=self._key(), counter=[0, 0, 0, index]))

    def child(self, name: str) -> Rng:
        """An independent stream below this one."""
        return Rng(self.seed, f"{self.stream}/{name}" if self.stream else name)

    def integer(self, index: int = 0) -> int:
        """A 63-bit seed for libraries that have a generator of their own, such as torch."""
        return int(self.at(index).integers(2**63 - 1))

    def _key(self) -> int:
        digest = hashlib.sha256(f"{self.seed}|{self.stream}".encode()).digest()
        return int.from_bytes(digest[:16], "little")
