import csv

import numpy as np
import pytest

from morula.recipes.cupre.label_next import advise, describe, doubt, write_advice
from morula.tasks.cells.front import Prepared

LOOKS = {name: np.array([float(place), 0.0]) for name, place in {"l": 0, "a": 1, "b": 10, "c": 10.5}.items()}


def order(doubts):
    return [each.image for each in advise(doubts, LOOKS, ["l"])]


def test_among_equal_doubts_the_new_comes_first_and_its_twin_last():
    assert order({"a": 0.5, "b": 0.5, "c": 0.5}) == ["c", "a", "b"]


def test_among_equal_looks_the_doubtful_comes_first():
    assert order({"b": 0.9, "c": 0.1})[0] == "b"


def test_novelty_is_the_distance_to_what_is_labelled_or_chosen():
    ranking = advise({"a": 0.5, "b": 0.5, "c": 0.5}, LOOKS, ["l"])
    spread = np.std([0, 1, 10, 10.5])
    assert [each.novelty * spread for each in ranking] == pytest.approx([10.5, 1.0, 0.5])


def test_a_second_labelled_image_takes_the_novelty_of_its_like():
    ranking = advise({"a": 0.5, "b": 0.5}, LOOKS, ["l", "c"])
    assert [each.image for each in ranking] == ["a", "b"]


def test_doubt_is_in_what_is_seen():
    sure = np.zeros((10, 10))
    sure[:5] = 1.0
    assert doubt(sure) == 0.0
    assert doubt(np.full((4, 4), 0.5)) == 1.0
    assert doubt(np.zeros((4, 4))) == 0.5


def test_a_description_tells_sizes_and_colours_apart():
    def look(diameter, red):
        colour = np.stack([np.full((8, 8), red), np.zeros((8, 8)), np.zeros((8, 8))], axis=-1)
        return describe(Prepared("H&E", np.eye(8, dtype=np.float32), colour, (8, 8), diameter))

    assert np.isfinite(look(20.0, 0.5)).all()
    assert not np.allclose(look(20.0, 0.5), look(40.0, 0.5))
    assert not np.allclose(look(20.0, 0.5), look(20.0, 0.9))


def test_the_table_ranks_from_one(tmp_path):
    write_advice(tmp_path / "report" / "next.csv", advise({"a": 0.5, "b": 0.25}, LOOKS, ["l"]))
    with (tmp_path / "report" / "next.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["rank"], row["image"]) for row in rows] == [("1", "b"), ("2", "a")]
    assert float(rows[0]["doubt"]) == 0.25
