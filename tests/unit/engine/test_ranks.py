"""How many processes may train together, and what is said where they may not."""

from __future__ import annotations

import pickle

import pytest
import torch

from morula.core.config import Config
from morula.core.errors import ResourceError, UsageError
from morula.engine import launch, launch_ranks, once, spread, surviving
from morula.recipes import RECIPES, load_recipe
from morula.workflows.processes import refuse_uneven

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
SRUN = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS_PER_NODE": "2"}


@pytest.mark.parametrize(
    ("devices", "nodes", "environment", "told"),
    [
        (0, 1, {}, "--devices: 0 is less than one"),
        (1, 0, {}, "--nodes: 0 is less than one"),
        (2, 2, {}, "neither torchrun nor srun started this process"),
        (
            1,
            1,
            TORCHRUN,
            "torchrun started 4 processes, 2 on a machine, not 1 on each of 1.* --devices 2 --nodes 2",
        ),
        (4, 1, SRUN, "srun started 4 processes, 2 on a machine, not 4 on each of 1.* --devices 2 --nodes 2"),
        (4, 1, {"SLURM_STEP_NUM_TASKS": "4"}, "add --ntasks-per-node=4"),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    devices: int, nodes: int, environment: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=told):
        launch_ranks("cpu", devices=devices, nodes=nodes)


def test_one_task_of_a_job_of_many_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SRUN, "SLURM_STEP_NUM_TASKS": "1"}.items():
        monkeypatch.setenv(name, value)
    assert launch_ranks("cpu").world_size == 1


def test_in_an_interactive_job_the_processes_are_started_here(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, object] = {}

    def fabric(**options: object) -> None:
        made.update(options)
        raise InterruptedError

    for name, value in {**SRUN, "SLURM_STEP_NUM_TASKS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("morula.engine.ranks.Fabric", fabric)
    with pytest.raises(InterruptedError):
        launch_ranks("cpu", devices=4)
    assert made["devices"] == 4
    assert [type(each).__name__ for each in made["plugins"]] == ["LightningEnvironment"]  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="neither torchrun nor srun started this process"):
        launch_ranks("cpu", devices=4, nodes=2)


def test_more_gpus_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="2 GPUs, but this machine has 1"):
        launch_ranks("cuda", devices=2)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_which_batches_are_split(name: str) -> None:
    recipe = load_recipe(name)
    sizes = recipe.batch_sizes(recipe.presets()["best"])
    refuse_uneven(name, recipe.presets()["best"], 1)
    refused = [size for size in sizes.values() if size % 7]
    assert refused
    with pytest.raises(UsageError, match=f"{refused[0]} samples cannot be split evenly between 7 processes"):
        refuse_uneven(name, recipe.presets()["best"], 7)


@pytest.mark.parametrize(
    ("name", "without", "with_it"), [("mscon", "best", "info-nce"), ("dbmim", "scratch", "mae")]
)
def test_the_batch_of_a_stage_without_steps_need_not_be_split(name: str, without: str, with_it: str) -> None:
    recipe = load_recipe(name)
    assert set(recipe.batch_sizes(recipe.presets()[without])) == {"finetune.batch"}
    assert set(recipe.batch_sizes(recipe.presets()[with_it])) == {"pretrain.batch", "finetune.batch"}


@pytest.mark.parametrize(("name", "preset"), [("psm", "paper"), ("psm", "paper-small"), ("emda", "cut")])
def test_what_trains_in_one_process_alone_says_so(name: str, preset: str) -> None:
    config: Config = load_recipe(name).presets()[preset]
    refuse_uneven(name, config, 1)
    with pytest.raises(UsageError, match="in one process"):
        refuse_uneven(name, config, 2)


def test_pre_training_alone_asks_nothing_of_later_batches() -> None:
    config = load_recipe("mscon").presets()["best"].model_copy()
    finetune = config.finetune.model_copy(update={"batch": 3})  # type: ignore[attr-defined]
    odd = config.model_copy(update={"finetune": finetune})
    refuse_uneven("mscon", odd, 2, "pretrain.")
    with pytest.raises(UsageError, match=r"finetune.batch: 3 samples"):
        refuse_uneven("mscon", odd, 2)


def test_one_process_does_all_itself() -> None:
    fabric = launch("cpu")
    assert once(fabric, lambda: 3) == 3
    assert spread(fabric, lambda x: x + 1, [1, 2, 3]) == [2, 3, 4]
    with pytest.raises(RuntimeError, match="Connection closed"), surviving(fabric):
        raise RuntimeError("Connection closed by peer")


def test_an_error_travels_between_processes_whole() -> None:
    told = pickle.loads(pickle.dumps(ResourceError("a", "b", "c")))
    assert isinstance(told, ResourceError)
    assert (told.where, told.found, told.fix, str(told)) == ("a", "b", "c", "a: b. Fix: c.")
