"""Pages in a real browser without a screen."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["browse"]

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--virtual-time-budget=5000",
)  # fmt: skip


def browse(chromium: str, page: Path | str, profile: Path, *options: str) -> tuple[str, str]:
    """What a file or an address gives: the document or nothing, as options say, and the log."""
    address = page if isinstance(page, str) else page.as_uri()
    command = [chromium, *FLAGS, f"--user-data-dir={profile}", *options, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, done.stderr
