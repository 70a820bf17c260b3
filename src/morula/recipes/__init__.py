"""The recipes by name, and what each must offer to be planned, trained, used and reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from morula.core.config import Config
from morula.core.errors import UsageError
from morula.core.types import Record, Segmentation, Volume

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from morula.blockwise import BlockModel
    from morula.engine import Run
    from morula.report import Stage as Chapter

__all__ = ["RECIPES", "BlockPredictor", "Entry", "Predictor", "Recipe", "load_recipe"]

Predictor = Callable[[Volume], Segmentation]


@runtime_checkable
class BlockPredictor(Protocol):
    """A predictor that also takes volumes of any size; those of volumetric recipes do."""

    def __call__(self, volume: Volume, /) -> Segmentation:
        """The objects of a volume that fits in memory."""
        ...

    def blocks(self, volume: Volume) -> BlockModel:
        """What segments it box by box."""
        ...


class Recipe(Protocol):
    """The functions of a `recipe.py`; the module itself satisfies this protocol."""

    def presets(self) -> Mapping[str, Config]:
        """The named configs, `best` first."""
        ...

    def train(self, run: Run, records: Sequence[Record], config: Config) -> None:
        """Fills the run's stages and its `model/` folder; goes on where an earlier call was stopped."""
        ...

    def batch_sizes(self, config: Config) -> Mapping[str, int]:
        """Samples in each batch that several processes share, by the name of the setting.

        Raises:
            UsageError: with this config it trains in one process alone.
        """
        ...

    def load(self, path: Path, fabric: Fabric) -> Predictor:
        """What segments new images, from the run's folder alone."""
        ...

    def checkpoints(self, path: Path, fabric: Fabric) -> Mapping[str, Predictor]:
        """What the model was chosen from, by name, so that the choice can be judged afterwards."""
        ...

    def controls(self, records: Sequence[Record], config: Config) -> Mapping[str, Predictor]:
        """The simple methods that the recipe must beat, by name."""
        ...

    def story(self, path: Path) -> Sequence[Chapter]:
        """The stages of a finished run with their pictures, for the report."""
        ...


@dataclass(frozen=True)
class Entry:
    """One row of the table.

    Attributes:
        title: what it does, for a user.
        module: where its `recipe.py` is.
        objects: what it finds, as the report's title names them.
        volumes: whether it takes volumes, one a file or folder, in place of 2D images.
        learns: whether it is trained on labels of the images; else these only measure what it found.
        block: whether it takes one volume of which a block is labelled.
        traces: whether it learns from traced neurons and traces others.
    """

    title: str
    module: str
    objects: str = "Cells"
    volumes: bool = False
    learns: bool = False
    block: bool = False
    traces: bool = False


RECIPES: Mapping[str, Entry] = {
    "psm": Entry(
        "2D cells and nuclei without labels (prior self-activation maps)", "morula.recipes.psm.recipe"
    ),
    "cupre": Entry(
        "2D cells and nuclei from a few labelled images and many without labels",
        "morula.recipes.cupre.recipe",
        learns=True,
    ),
    "emda": Entry(
        "mitochondria in unlabelled EM volumes, learned from labelled ones of another domain",
        "morula.recipes.emda.recipe",
        objects="Mitochondria",
        volumes=True,
    ),
    "dbmim": Entry(
        "neurons of an EM volume from a labelled block of it (masked image modelling)",
        "morula.recipes.dbmim.recipe",
        objects="Neurons",
        volumes=True,
        learns=True,
        block=True,
    ),
    "mscon": Entry(
        "neurons of an EM volume from a labelled block of it (self-training, multiscale consistency)",
        "morula.recipes.mscon.recipe",
        objects="Neurons",
        volumes=True,
        learns=True,
        block=True,
    ),
    "vit3d": Entry(
        "single neurons in stacks of light microscopy, from a few traced ones (2D networks inflated to 3D)",
        "morula.recipes.vit3d.recipe",
        objects="Neurons",
        volumes=True,
        learns=True,
        traces=True,
    ),
}


def load_recipe(name: str) -> Recipe:
    """Imports a recipe.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in RECIPES:
        raise UsageError("--recipe", f"there is no recipe {name!r}", f"choose one of {', '.join(RECIPES)}")
    return cast(Recipe, import_module(RECIPES[name].module))
