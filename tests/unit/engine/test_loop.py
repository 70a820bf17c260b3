from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from morula.core.errors import DataError, TrainingError, UsageError
from morula.core.files import write_json
from morula.engine import Run, TrainState, fit, launch, read_json, read_metrics


def open_run(path: Path, **changes: object) -> Run:
    settings = {
        "recipe": "toy",
        "config": {"lr": 1.0},
        "data": {},
        "seed": 0,
        "fabric": launch("cpu", "32-true"),
    }
    return Run.open(path, **{**settings, **changes})  # type: ignore[arg-type]


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    stage = open_run(tmp_path / "run").stage("train")
    state = TrainState(layer=torch.nn.Linear(1, 1))

    def step(index: int) -> dict[str, float]:
        return {"loss": float("nan") if index == 3 else 1.0}

    with pytest.raises(TrainingError, match="loss is nan at step 3 of stage train"):
        fit(step, lambda i: i, state, 10, stage, save_seconds=0.0)
    assert torch.load(stage.path / "state.pt", weights_only=True)["step"] == 3


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    stage, layer = open_run(tmp_path / "run").stage("train"), torch.nn.Linear(1, 1)

    def step(index: int) -> dict[str, float]:
        if index == 3:  # as gradients that overflow do: the loss of their own step is fine
            torch.nn.init.constant_(layer.weight, float("inf"))
        return {"loss": 1.0}

    with pytest.raises(TrainingError, match="weights of layer are not finite after step 4 of stage train"):
        fit(step, lambda i: i, TrainState(layer=layer), 4, stage, save_seconds=0.0)
    assert torch.load(stage.path / "state.pt", weights_only=True)["step"] == 3


def test_batches_come_in_order_and_only_once(tmp_path: Path) -> None:
    seen: list[int] = []
    stage = open_run(tmp_path / "run").stage("train")
    fit(lambda i: seen.append(i) or {"n": 1.0}, lambda i: i, TrainState(), 25, stage)
    assert seen == list(range(25))


def test_an_error_in_the_batch_thread_reaches_the_caller(tmp_path: Path) -> None:
    def batches(index: int) -> int:
        raise DataError("a.png", f"sample {index} is broken", "copy it again")

    with pytest.raises(DataError, match="sample 0 is broken"):
        fit(lambda i: {"n": 1.0}, batches, TrainState(), 5, open_run(tmp_path / "run").stage("train"))


def test_curves_are_logged_and_a_log_file_gets_a_line_per_tenth(tmp_path: Path) -> None:
    text = io.StringIO()
    run = open_run(tmp_path / "run", console=Console(file=text, force_terminal=False, width=120))
    stage = run.stage("train")
    fit(lambda i: {"loss": 1 / (i + 1)}, lambda i: i, TrainState(), 40, stage, log_every=20)
    assert read_metrics(stage.path / "metrics.jsonl") == {"loss": [1 / 20, 1 / 40], "step": [20, 40]}
    assert len(text.getvalue().splitlines()) == 10
    assert "40/40" in text.getvalue()


def test_a_state_with_an_unsaveable_part_is_refused() -> None:
    with pytest.raises(TypeError, match="queue: list has no state_dict"):
        TrainState(queue=[])


def test_an_equal_run_goes_on_and_a_different_one_is_refused(tmp_path: Path) -> None:
    first = open_run(tmp_path / "run").stage("train")
    first.finish(score=1)
    again = open_run(tmp_path / "run").stage("train")
    assert again.done
    assert again.summary == {"score": 1}
    with pytest.raises(UsageError, match="another config"):
        open_run(tmp_path / "run", seed=1)
    fresh = open_run(tmp_path / "run", seed=1, existing="overwrite").stage("train")
    assert not fresh.done


def test_a_run_that_was_refused_before_its_first_stage_is_in_nobodys_way(tmp_path: Path) -> None:
    open_run(tmp_path / "run", config={"lr": -1.0})
    with pytest.raises(UsageError, match="another config"):
        open_run(tmp_path / "run", existing="resume")
    open_run(tmp_path / "run")
    assert read_json(tmp_path / "run" / "config.json") == {"lr": 1.0}
    assert open_run(tmp_path / "run", existing="resume").stage("train").path.parent == tmp_path / "run"


@pytest.mark.parametrize("last", ["config.json", "data.json", "run.json"])
def test_a_run_that_was_stopped_while_it_was_started_starts_again(
    last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(path: Path, value: object) -> None:
        if path.name == last:
            raise KeyboardInterrupt
        write_json(path, value)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("morula.engine.run.write_json", stopped)
        open_run(tmp_path / "run", config={"lr": 2.0})
    with pytest.raises(UsageError, match="no run to resume"):
        open_run(tmp_path / "run", existing="resume")
    open_run(tmp_path / "run")
    assert read_json(tmp_path / "run" / "config.json") == {"lr": 1.0}


def test_a_stage_made_from_other_inputs_is_refused(tmp_path: Path) -> None:
    open_run(tmp_path / "run").stage("train", beta=1).finish()
    with pytest.raises(UsageError, match="made from other inputs"):
        open_run(tmp_path / "run").stage("train", beta=2)


def test_a_folder_of_the_user_is_never_taken(tmp_path: Path) -> None:
    for name in ("config.json", "thesis.doc"):
        (tmp_path / name).write_text("years of work")
        for existing in ("continue", "overwrite"):
            with pytest.raises(UsageError, match="holds no run"):
                open_run(tmp_path, existing=existing)
        assert (tmp_path / name).read_text() == "years of work"


def test_resume_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run to resume"):
        open_run(tmp_path / "none", existing="resume")


def test_a_damaged_checkpoint_names_the_file(tmp_path: Path) -> None:
    stage = open_run(tmp_path / "run").stage("train")
    (stage.path / "state.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(DataError, match=r"state\.pt: the checkpoint cannot be read"):
        stage.restore(TrainState())


@pytest.mark.parametrize("device", ["tpu", "cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has an Apple GPU")
    with pytest.raises(UsageError, match="--device"):
        launch(device)
