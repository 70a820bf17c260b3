"""What options say of values that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import cli
from morula.cli.options import recipe_images, voxel
from morula.core.errors import UsageError


@pytest.mark.parametrize("size", [float("inf"), float("nan")])
def test_a_pixel_size_that_is_no_length_is_refused(size: float) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        voxel(size)


@pytest.mark.parametrize(
    ("words", "option", "found"),
    [
        (["mscon", "raw.tif"], None, ("mscon", Path("raw.tif"))),
        (["mscon", "raw.tif"], "mscon", ("mscon", Path("raw.tif"))),
        (["raw.tif"], "mscon", ("mscon", Path("raw.tif"))),
        (["mscon"], None, (None, Path("mscon"))),  # alone, it is a folder
        (["mscon", "mscon"], None, ("mscon", Path("mscon"))),
    ],
)
def test_a_recipe_may_stand_before_the_images(
    words: list[str], option: str | None, found: tuple[str | None, Path]
) -> None:
    assert recipe_images([Path(word) for word in words], option) == found


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["mscon", "raw.tif", "--recipe", "dbmim"], "mscon and dbmim contradict each other"),
        (["raw.tif", "more.tif"], "'raw.tif more.tif' is not a recipe and one file or folder"),
        (["mscon", "raw.tif", "more.tif"], "not a recipe and one file"),
        (["mscon", "no_such.tif"], "no_such.tif: no such file"),
    ],
)
def test_words_that_are_no_recipe_and_images_are_refused(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = cli(capsys, "train", *words)
    assert code in (2, 3)
    assert told in err
