"""`morula demo`: the main job on a real image that comes with scikit-image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from morula.core.files import atomic_path
from morula.workflows.run import RunResult, run

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["demo"]


def demo(
    *,
    out: str | Path | None = None,
    fast: bool = False,
    device: str = "auto",
    seed: int = 0,
    console: Console | None = None,
) -> RunResult:
    """Segments the brown (DAB) and blue (haematoxylin) nuclei of colonic glands; nothing is downloaded.

    Args:
        out: the run's folder, `runs/demo` by default.
        fast: train for a few steps only.
        device: `auto`, `cpu`, `cuda` or `mps`.
        seed: all randomness follows from it.
        console: where progress goes; silent by default.
    """
    path = Path(out) if out is not None else Path("runs") / "demo"
    image = path.with_name(f"{path.name}-images") / "immunohistochemistry.png"
    if not image.exists():
        _save_section(image)
    return run(
        image.parent, out=path, preset="smoke" if fast else "fast", device=device, seed=seed, console=console
    )


def _save_section(path: Path) -> None:
    from PIL import Image
    from skimage.data import immunohistochemistry

    with atomic_path(path) as temporary:
        Image.fromarray(immunohistochemistry()).save(temporary)
