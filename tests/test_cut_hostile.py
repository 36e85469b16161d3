"""``pyseg.cut`` on input that is no image, no mark, or next to nothing: errors in words, or a sensible mask."""

import numpy as np
import pytest

import pyseg

TRIANGLE = [[80, 0], [150, 119], [10, 119]]
BOX = (43, 23, 117, 97)
IMAGE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 1), (1, 50, 3), (50, 1), (2, 2, 3)])
def test_tiny_images(shape):
    image = np.full(shape, 90, np.uint8)
    height, width = shape[:2]
    assert pyseg.cut(image, clicks=[(0, 0, True)])[0, 0]
    assert not pyseg.cut(image, clicks=[(0, 0, False)])[0, 0]
    assert pyseg.cut(image, box=(0, 0, width, height)).shape == (height, width)
    assert pyseg.cut(image, mask=np.ones((height, width)) > 0).all()


def test_flat_image():
    image = np.full((60, 80, 3), 128, np.uint8)
    got = pyseg.cut(image, box=(20, 10, 60, 50))
    assert got[30, 40]
    assert not got[:10].any()
    assert pyseg.cut(image, box=(0, 0, 80, 60)).shape == (60, 80)
    got = pyseg.cut(image, clicks=[(20, 30, True), (60, 30, False)])
    assert got[30, 20]
    assert not got[30, 50:].any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "must be given, got none"),
        ({"clicks": []}, "must be given, got none"),
        ({"scribbles": []}, "must be given, got none"),
        ({"scribbles": np.full((120, 160), -1)}, "no marked pixel"),
        ({"trimap": np.full((120, 160), 128)}, "no marked pixel"),
        ({"scribbles": [([(-50, -50), (-40, -50)], True)]}, "no marked pixel"),
        ({"box": (200, 10, 300, 50)}, "box must overlap the image, 160 x 120"),
        ({"box": (50, 10, 50, 50)}, "x1 > x0"),
        ({"box": (0, 0, np.nan, 9)}, "finite coordinates"),
        ({"box": (0, 0, np.inf, 9)}, "finite coordinates"),
        ({"box": (0, 0, 9)}, "box must be"),
        ({"box": BOX, "contour": TRIANGLE}, "exclude each other"),
        ({"contour": [[200, 0], [300, 0], [250, 50]]}, "pixel of the image inside"),
        ({"contour": [[0, 0], [1, 1]]}, "N >= 3"),
        ({"contour": [[0, 0], [50, 50], [100, 100]]}, "pixel of the image inside"),
        ({"clicks": [(160, 0, True)]}, "a click must lie in the image"),
        ({"clicks": [(np.nan, 0, True)]}, "a number, got nan"),
        ({"scribbles": np.full((120, 160), 2)}, "must hold -1, 0, 1 alone, got 2"),
        ({"scribbles": np.zeros((5, 5), int)}, "as the image"),
        ({"scribbles": [([(0, 0)], True, 0)]}, "width must be"),
        ({"trimap": np.full((120, 160), 3)}, "must hold 0, 128, 255 alone, got 3"),
        ({"mask": np.zeros((160, 120), bool)}, "as the image"),
        ({"box": BOX, "superpixels": 0}, "superpixels must be"),
        ({"box": BOX, "n_iter": -1}, "n_iter must be"),
        ({"box": BOX, "click_radius": -1}, "click_radius must be"),
    ],
)
def test_wrong_values(arguments, said):
    with pytest.raises(ValueError, match=said):
        pyseg.cut(IMAGE, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"box": "abcd"},
        {"box": object()},
        {"clicks": 3},
        {"clicks": "ab"},
        {"clicks": [3]},
        {"clicks": [(1, 1, "yes")]},
        {"clicks": [("a", 1)]},
        {"contour": "abc"},
        {"scribbles": 3},
        {"scribbles": [3]},
        {"scribbles": np.zeros((120, 160))},
        {"scribbles": np.zeros((120, 160), bool)},
        {"trimap": np.zeros((120, 160))},
        {"mask": np.zeros((120, 160))},
        {"mask": "mask"},
        {"box": BOX, "n_iter": 1.5},
    ],
)
def test_wrong_kinds(arguments):
    with pytest.raises(TypeError, match="cut: "):
        pyseg.cut(IMAGE, **arguments)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((0, 5, 3), np.uint8), ValueError),
        (np.zeros((5, 5, 2), np.uint8), ValueError),
        (np.zeros((5, 5, 4), np.uint8), ValueError),
        (np.zeros(5, np.uint8), ValueError),
        (np.full((5, 5), np.nan), ValueError),
        (np.full((5, 5), np.inf, np.float32), ValueError),
        (np.full((5, 5), 255.0), ValueError),
        (np.zeros((5, 5), np.int32), TypeError),
        (np.zeros((5, 5), complex), TypeError),
        (np.zeros((5, 5), object), TypeError),
        ([[1, 2]], TypeError),
    ],
)
def test_wrong_images(image, error):
    with pytest.raises(error, match="cut: "):
        pyseg.cut(image, clicks=[(0, 0, True)])
