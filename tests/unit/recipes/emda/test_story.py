from __future__ import annotations

import pytest

from morula.recipes.emda import story


@pytest.mark.parametrize(
    ("objections", "expected", "unexpected"),
    [
        ((["empty"], ["full"]), "No checkpoint is plausible; of this one: full.", "This checkpoint"),
        (([], ["full"]), "This checkpoint is not plausible: full. Do not trust", "No checkpoint"),
        ((["empty"], []), "took step 2", "plausible"),
    ],
)
def test_the_report_says_which_checkpoints_are_implausible(
    objections: tuple[list[str], list[str]], expected: str, unexpected: str
) -> None:
    summary = {
        "select": "last",
        "chosen": {"last": 2, "solidity": 1, "composite": 1},
        "candidates": [{"step": step, "objections": each} for step, each in enumerate(objections, 1)],
    }
    told = story._about_choice(summary)
    assert expected in told
    assert unexpected not in told
