import numpy as np
import pytest

from morula.report import class_colours, colourise, label_colours, overlay, to_rgb8


def test_rgb_bytes_stay_as_they_are():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    assert np.array_equal(to_rgb8(image), image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_grey_is_stretched_to_the_whole_range(dtype):
    image = np.linspace(10, 90, 400).reshape(20, 20).astype(dtype)
    rgb = to_rgb8(image)
    assert rgb.shape == (20, 20, 3) and rgb.dtype == np.uint8
    assert rgb.min() == 0 and rgb.max() == 255
    assert (np.diff(rgb[..., 0].ravel().astype(int)) >= 0).all()


def test_one_hot_pixel_does_not_darken_the_rest():
    image = np.tile(np.arange(100, dtype=np.uint16), (100, 1))
    image[0, 0] = 65535
    assert np.median(to_rgb8(image)) > 100


def test_flat_sparse_and_broken_images_are_drawn():
    assert to_rgb8(np.zeros((4, 4))).max() == 0
    sparse = np.zeros((100, 100), np.uint16)
    sparse[50, 50] = 9
    assert to_rgb8(sparse)[50, 50, 0] == 255
    holes = np.array([[np.nan, 1.0, 2.0], [np.inf, 1.5, 2.0]])
    assert to_rgb8(holes)[0, 0, 0] == 0
    assert to_rgb8(np.full((2, 2), np.nan)).max() == 0
    assert to_rgb8(np.array([[False, True]])).max() == 255


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_any_number_of_channels_gives_colour(channels):
    image = np.random.default_rng(1).integers(0, 4000, (6, 5, channels), np.uint16)
    rgb = to_rgb8(image)
    assert rgb.shape == (6, 5, 3) and rgb.dtype == np.uint8 and rgb.max() > 100


@pytest.mark.parametrize("shape", [(3,), (0, 4), (2, 2, 2, 2), (4, 4, 0)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="an image is"):
        to_rgb8(np.zeros(shape))


def test_contours_follow_the_objects_and_leave_the_rest_alone():
    rgb = np.full((60, 60, 3), 200, np.uint8)
    labels = np.zeros((60, 60), np.int32)
    labels[20:40, 20:40] = 1
    drawn = overlay(rgb, labels, long_side=60)
    colour = np.array(class_colours([""])[""])
    assert (drawn[20, 20:40] == colour).all() and (drawn[19, 20:40] == colour).all()
    assert drawn[18, 30].max() < 200, "the casing is darker than the ground"
    assert (drawn[25:35, 25:35] == 200).all() and (drawn[:15] == 200).all()
    assert (rgb == 200).all(), "the input is left alone"


def test_touching_objects_keep_their_own_colours():
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 5:20], labels[10:30, 20:35] = 1, 2
    drawn = overlay(np.zeros((40, 40, 3), np.uint8), labels, ["positive", "negative"], long_side=40)
    colours = class_colours(["positive", "negative"])
    assert tuple(drawn[20, 19]) == colours["positive"] and tuple(drawn[20, 20]) == colours["negative"]
    assert drawn[20, 17].max() < 30, "the shared line is two pixels wide"


def test_contours_read_on_light_and_on_dark():
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 10:30] = 1
    for ground in (0, 128, 255):
        drawn = overlay(np.full((40, 40, 3), ground, np.uint8), labels, long_side=40).astype(float)
        line, casing = drawn[10, 20].mean(), drawn[8, 20].mean()
        assert abs(line - ground) > 30 or abs(casing - ground) > 60
        assert line - casing > 30


@pytest.mark.parametrize(("side", "expected"), [(50, 1200), (500, 1000), (1200, 1200), (3000, 1200)])
def test_pictures_come_out_at_a_size_for_the_page(side, expected):
    labels = np.zeros((side, side // 2), np.uint16)
    labels[side // 4 : side // 2, side // 8 : side // 4] = 7
    drawn = overlay(np.zeros((side, side // 2, 3), np.uint8), labels)
    assert drawn.shape == (expected, expected // 2, 3)
    assert (drawn == class_colours([""])[""]).all(axis=2).any()


def test_colours_do_not_depend_on_the_image_when_the_classes_are_named():
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 10:30] = 1
    rgb, names = np.zeros((40, 40, 3), np.uint8), ["epithelium", "stroma"]
    drawn = overlay(rgb, labels, ["stroma"], class_names=names, long_side=40)
    assert tuple(drawn[10, 20]) == class_colours(names)["stroma"]


def test_no_objects_no_lines():
    rgb = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    assert np.array_equal(overlay(rgb, np.zeros((40, 40), int), [], long_side=40), rgb)


def test_misfits_are_refused():
    rgb, labels = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), int)
    with pytest.raises(ValueError, match="does not fit"):
        overlay(rgb, labels[1:])
    with pytest.raises(ValueError, match="1 objects, but 0 classes"):
        overlay(rgb, labels, [])
    with pytest.raises(ValueError, match="are not among"):
        overlay(rgb, labels, ["c"], class_names=["a", "b"])


def test_class_colours_differ():
    names = ["a", "Negative", "b", "positive", "c"]
    colours = class_colours(names)
    assert set(colours) == set(names) and len(set(colours.values())) == len(names)


def test_maps_run_from_dark_to_bright_and_missing_values_are_grey():
    values = np.array([[0.0, 1.0], [np.nan, 0.5]])
    rgb = colourise(values)
    assert rgb.dtype == np.uint8 and rgb[0, 0].sum() < rgb[1, 1].sum() < rgb[0, 1].sum()
    assert (rgb[1, 0] == 128).all()
    assert (colourise(np.full((2, 2), 3.0)) == colourise(np.zeros((2, 2)))).all()
    assert (colourise(values, low=0, high=10)[0, 1] != rgb[0, 1]).any()
    assert colourise(np.full((2, 2), np.nan)).shape == (2, 2, 3)


@pytest.mark.parametrize("count", [4, 300])
def test_label_colours_tell_neighbours_apart(count):
    labels = np.arange(count + 1)[None]
    rgb = label_colours(labels)[0].astype(int)
    assert rgb[0].max() < 40
    assert (np.abs(np.diff(rgb, axis=0)).sum(axis=1) > 40).all()


def test_label_maps_have_to_be_labels():
    with pytest.raises(ValueError, match="integers"):
        label_colours(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="negative"):
        label_colours(np.full((2, 2), -1))
