"""How many steps a budget holds, where steps are short beside what is done once."""

from __future__ import annotations

from morula.engine import steps_within


def test_imports_of_the_first_training_and_jitter_do_not_make_a_step_free() -> None:
    spent, trained = [0.0], list[int]()

    def train(steps: int) -> None:
        imports = 0.0 if trained else 20.0
        jitter = 0.4 if len(trained) % 2 else 0.0  # seconds, more than 24 steps take
        spent[0] += imports + 3.0 + jitter + 0.01 * steps
        trained.append(steps)

    steps = steps_within(1, train, lambda: spent[0])
    assert abs(steps - 6000) < 600
    assert trained[0] == trained[1] == 4


def test_a_step_that_takes_no_time_does_not_hang() -> None:
    assert steps_within(1, lambda steps: None, lambda: 0.0) >= 10
