from __future__ import annotations

import pytest
from pydantic import ValidationError

from morula.core.config import from_toml, override, to_toml
from morula.core.errors import UsageError
from morula.recipes.psm.paper.config import Activation, PaperConfig, Voronoi, paper, paper_small


def test_the_defaults_are_the_published_constants() -> None:
    config = paper()
    assert (config.crop, config.activation.network, config.activation.batch) == (512, "res2net101_26w_4s", 1)
    assert (config.clustering.clusters, config.clustering.beta, config.final.voronoi_weight) == (3, 1.0, 1.5)
    assert (config.second.batch, config.second.lr, config.second.epochs) == (4, 1e-4, 100)
    assert all(config.defects.model_dump().values())
    assert not config.second.pretrained


def test_the_small_preset_is_the_same_algorithm() -> None:
    small, full = paper_small(), paper()
    assert (small.clustering, small.voronoi, small.defects) == (full.clustering, full.voronoi, full.defects)
    assert small.preset == "paper-small"


def test_a_config_can_be_written_edited_and_read_back(tmp_path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(to_toml(paper_small()))
    assert override(paper(), from_toml(file)) == paper_small()


def test_an_unknown_defect_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(UsageError, match=r"defects\.double_softmax"):
        override(paper(), {"defects": {"double_softmx": False}})


def test_values_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValidationError, match="2 or more"):
        Activation(proxy="contrastive", batch=1)
    with pytest.raises(ValidationError, match="odd"):
        Voronoi(blur=12)
    with pytest.raises(ValidationError):
        PaperConfig(crop=100)
