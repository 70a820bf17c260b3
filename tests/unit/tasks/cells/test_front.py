import numpy as np

from morula.data.modality import Modality
from morula.tasks.cells.front import Prepared, one_kind


def image(kind: Modality) -> Prepared:
    return Prepared(kind, np.zeros((8, 8), np.float32), np.zeros((8, 8, 3), np.float32), (8, 8), 22.0)


def test_one_stray_in_ten_images_leaves_a_set_of_one_kind():
    assert one_kind([image("H&E")] * 9 + [image("IHC")]) == "H&E"


def test_a_mixed_set_and_an_empty_one_are_of_no_kind():
    assert one_kind([image("H&E")] * 4 + [image("fluorescence")]) is None
    assert one_kind([]) is None
