"""Pre-training and self-training on volumes without labels; `train --weights` then starts from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morula.core.errors import UsageError
from morula.core.types import VoxelSize
from morula.data import load_volumes
from morula.recipes import RECIPES, load_recipe
from morula.workflows.configured import configured, read_changes
from morula.workflows.inputs import refuse_inside
from morula.workflows.neurons import StoredAxes, axes_doubts, check_contents, check_order, say
from morula.workflows.processes import refuse_uneven
from morula.workflows.train import describe

if TYPE_CHECKING:
    from rich.console import Console

    from morula.engine import Existing

__all__ = ["pretrain"]


def pretrain(
    recipe: str,
    volumes: str | Path,
    *,
    out: str | Path,
    preset: str | None = None,
    config: Path | None = None,
    assignments: Sequence[str] = (),
    voxel: VoxelSize = None,
    axes: StoredAxes = None,
    existing: Existing = "continue",
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    seed: int = 0,
    console: Console | None = None,
) -> Path:
    """Runs what a recipe for neurons learns without labels, and nothing else, and tells what that is.

    Args:
        recipe: one that takes a volume with a labelled block.
        volumes: a volume or a folder of volumes, all of one voxel size.
        out: the run's folder.
        preset: the recipe's preset to start from; `best` where neither this nor `config` says.
        config: TOML file with changes; `recipe` and `preset` in it count, too.
        assignments: `key=value` texts that change the config last.
        voxel: size of a voxel in nm, in place of what the files say; `unknown` where nobody knows.
        axes: order of the axes in the files, where it is not `zyx`.
        existing: what to do with a run that is there (see `morula.engine.Run.open`).
        device: `auto`, `cpu`, `cuda` or `mps`.
        devices: processes on a machine, each with a device of its own.
        nodes: machines.
        seed: of all randomness.
        console: where progress goes, and first which steps there are.

    Returns:
        The run's folder; `--weights` takes it.

    Raises:
        DataError: a volume cannot be used or shows nothing, or voxels are of several shapes.
        UsageError: the recipe or preset does not pre-train, the config is of another recipe, no voxel size is
            known, the order of axes or sizes is in doubt, or the output folder holds something else.
    """
    from morula.engine import Run, launch_ranks, surviving
    from morula.tasks import neurons

    module: Any = load_recipe(recipe)
    if not RECIPES[recipe].block:
        able = ", ".join(name for name, entry in RECIPES.items() if entry.block)
        raise UsageError("RECIPE", f"recipe {recipe} is not pre-trained by itself", f"choose one of {able}")
    _, preset, changes = read_changes(config, recipe, preset)
    settings: Any = configured(recipe, preset, changes, assignments, str(config))
    if not settings.pretrain.steps and not settings.self_training.steps:
        raise UsageError("--preset", f"{preset} has no step of pre-training", "choose another preset")
    say(console, [_told(recipe, settings)])
    refuse_inside(Path(out), volumes)
    records, _ = load_volumes(volumes, voxel=voxel, stored=axes or "zyx")
    for record in records:
        check_order(record.image, axes)
        say(console, axes_doubts(record.image.spatial_shape, axes))
    if voxel is None and any(each.image.voxel is None or each.image.voxel.z is None for each in records):
        found = "a volume does not say how large a voxel is"
        raise UsageError("--voxel-size", found, "give Z Y X in nm, or the word unknown for thick sections")
    for record in records:
        check_contents(record.image)
    refuse_uneven(recipe, settings, devices * nodes, "" if settings.self_training.steps else "pretrain.")
    fabric = launch_ranks(device, settings.precision, devices=devices, nodes=nodes)
    with surviving(fabric):
        run = Run.open(
            Path(out),
            recipe=recipe,
            config=settings.model_dump(mode="json"),
            data={record.id: describe(record) for record in records},
            seed=seed,
            fabric=fabric,
            console=console,
            existing=existing,
        )
        module.pretrain(run, neurons.unlabelled_of(records, settings.network), settings)
        run.close()
    return run.path


def _told(recipe: str, settings: Any) -> str:
    """Which steps there are, and of which preset those that are left out are."""
    named = {"pretrain": "pre-training", "self_training": "self-training"}
    steps = {name: getattr(settings, name).steps for name in named}
    done = " and ".join(f"{steps[name]} steps of {words}" for name, words in named.items() if steps[name])
    told = f"{recipe}, preset {settings.preset}: {done}"
    (missing, *_) = [name for name in named if not steps[name]] or [""]
    presets = load_recipe(recipe).presets().items()
    other = next((name for name, each in presets if missing and getattr(each, missing).steps), None)
    return told if other is None else f"{told}; no {named[missing]}, which --preset {other} has"
