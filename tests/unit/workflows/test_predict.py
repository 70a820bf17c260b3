"""What `predict` says of a folder that is no run."""

from __future__ import annotations

from pathlib import Path

import pytest

from morula.core.errors import DataError
from morula.workflows.big import predict_big
from morula.workflows.predict import open_model


@pytest.mark.parametrize("header", ["{}", '{"recipe": "another"}'])
def test_a_run_whose_recipe_is_unknown_is_refused(header: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(header)
    with pytest.raises(DataError, match=r"run\.json: the recipe .* is unknown"):
        open_model(tmp_path)
    with pytest.raises(DataError, match=r"run\.json: the recipe .* is unknown"):
        predict_big(tmp_path, tmp_path / "volume.tif", out=tmp_path / "out.ome.zarr")
