import numpy as np

from morula.data.modality import Modality
from morula.tasks.cells.front import Prepared, common_kinds, one_kind


def image(kind: Modality) -> Prepared:
    return Prepared(kind, np.zeros((8, 8), np.float32), np.zeros((8, 8, 3), np.float32), (8, 8), 22.0)


def test_one_stray_in_ten_images_leaves_a_set_of_one_kind():
    assert one_kind([image("H&E")] * 9 + [image("IHC")]) == "H&E"


def test_a_mixed_set_and_an_empty_one_are_of_no_kind():
    assert one_kind([image("H&E")] * 4 + [image("fluorescence")]) is None
    assert one_kind([]) is None


def test_kinds_with_half_as_many_images_as_the_most_frequent_are_common():
    assert common_kinds([image("fluorescence")] * 6 + [image("H&E")] * 2 + [image("IHC")] * 3) == [
        "IHC",
        "fluorescence",
    ]
    assert common_kinds([]) == []
