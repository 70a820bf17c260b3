from __future__ import annotations

import argparse
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from morula.core.errors import DataError
from morula.engine import Weights, WeightsInfo, read_tensors, weights_file


def test_round_trip_keeps_tensors_and_description(tmp_path: Path) -> None:
    layer = nn.Linear(3, 2)
    info = WeightsInfo("linear", {"width": 3}, kind="encoder", parents=("abc",))
    Weights.of(layer, info).save(tmp_path / "w.safetensors")
    loaded = Weights.load(tmp_path / "w.safetensors")
    assert loaded.info == info
    fresh = nn.Linear(3, 2)
    report = loaded.load_into(fresh)
    assert torch.equal(fresh.weight, layer.weight)
    assert (report.skipped, report.missing, report.inflated) == ((), (), ())


def test_a_licence_that_earlier_versions_wrote_is_left_out(tmp_path: Path) -> None:
    described = {"network": "linear", "arguments": {}, "kind": "network", "parents": [], "licence": "MIT"}
    save_file({"w": torch.ones(1)}, tmp_path / "w.safetensors", metadata={"morula": json.dumps(described)})
    assert Weights.load(tmp_path / "w.safetensors").info == WeightsInfo("linear")


@pytest.mark.parametrize("described", ['{"network": "linear", "parents": [], "new": 1}', "{}", "[]", "{"])
def test_a_description_of_another_kind_is_refused(described: str, tmp_path: Path) -> None:
    save_file({"w": torch.ones(1)}, tmp_path / "w.safetensors", metadata={"morula": described})
    with pytest.raises(DataError, match="what it says of its network"):
        Weights.load(tmp_path / "w.safetensors")


def test_an_archive_of_words_holds_no_tensors(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", name="text")
    with pytest.raises(DataError, match="cannot be read"):
        read_tensors(tmp_path / "a.npz")


def test_every_tensor_is_accounted_for() -> None:
    weights = Weights(
        {"a.weight": torch.ones(2, 3), "b.weight": torch.ones(5), "gone": torch.ones(1)}, WeightsInfo("x")
    )
    module = nn.ModuleDict({"a": nn.Linear(3, 2, bias=False), "b": nn.Linear(5, 1)})
    report = weights.load_into(module, inflate=lambda t, shape: t[None] if t.ndim == 1 else None)
    assert report.loaded == ("a.weight", "b.weight")
    assert report.inflated == ("b.weight",)
    assert report.skipped == ("gone",)
    assert report.missing == ("b.bias",)


def test_renaming_to_nothing_skips() -> None:
    weights = Weights({"head.weight": torch.ones(1, 3)}, WeightsInfo("x"))
    report = weights.load_into(nn.Linear(3, 1, bias=False), rename=lambda name: None)
    assert report.skipped == ("head.weight",)


def test_damaged_missing_and_undescribed_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"\0" * 4)
    save_file({"w": torch.ones(1)}, tmp_path / "plain.safetensors")
    for name, found in (("bad", "cannot be read"), ("none", "cannot be read"), ("plain", "which network")):
        with pytest.raises(DataError, match=found):
            Weights.load(tmp_path / f"{name}.safetensors")


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz", "a.pth"])
def test_tensors_of_others_are_read_and_damage_is_named(name: str, tmp_path: Path) -> None:
    tensors = {"a.weight": torch.arange(6.0).reshape(2, 3)}
    path = tmp_path / name
    if name.endswith("npz"):
        np.savez(path, **{key: each.numpy() for key, each in tensors.items()})
    elif name.endswith("pth"):
        torch.save({"state_dict": tensors, "epoch": 3}, path)
    else:
        save_file(tensors, path)
    found = read_tensors(path)
    assert found.keys() == tensors.keys() and torch.equal(found["a.weight"], tensors["a.weight"])
    path.write_bytes(b"not these" * 9)
    with pytest.raises(DataError, match="cannot be read"):
        read_tensors(path)
    with pytest.raises(DataError, match="no such file"):
        read_tensors(tmp_path / f"b{name}")


def test_of_a_checkpoint_of_dinos_the_teacher_is_read(tmp_path: Path) -> None:
    networks = {name: {"w": torch.full((2,), value)} for name, value in (("student", 1.0), ("teacher", 2.0))}
    torch.save({**networks, "args": argparse.Namespace(arch="vit_small"), "epoch": 9}, tmp_path / "a.pth")
    assert read_tensors(tmp_path / "a.pth")["w"].tolist() == [2, 2]


def test_what_torch_does_not_dare_to_read_is_named(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1), "lr": Decimal(1)}, tmp_path / "a.pth")
    with pytest.raises(DataError, match=r"cannot be read: Unsupported global: GLOBAL decimal\.Decimal"):
        read_tensors(tmp_path / "a.pth")


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    with pytest.raises(DataError, match="no named tensors"):
        read_tensors(tmp_path / "a.pth")


def test_of_a_run_what_it_pre_trained_comes_first(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no weights in this folder"):
        weights_file(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "network.safetensors").touch()
    assert weights_file(tmp_path) == tmp_path / "model" / "network.safetensors"
    (tmp_path / "1-pretrain").mkdir()
    (tmp_path / "1-pretrain" / "encoder.safetensors").touch()
    assert weights_file(tmp_path) == tmp_path / "1-pretrain" / "encoder.safetensors"
    assert weights_file(tmp_path / "a.pth") == tmp_path / "a.pth"


def test_of_a_run_that_was_stopped_nothing_is_taken(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}-self-training-{number}").mkdir()
        (tmp_path / f"{number}-self-training-{number}" / "stage.json").touch()
    first = tmp_path / "1-self-training-1"
    (first / "network.safetensors").touch()
    (first / "done.json").touch()
    with pytest.raises(DataError, match="its stage 2-self-training-2 is not finished"):
        weights_file(tmp_path)
    assert weights_file(first / "network.safetensors") == first / "network.safetensors"
    (tmp_path / "2-self-training-2" / "done.json").touch()
    assert weights_file(tmp_path) == first / "network.safetensors"
