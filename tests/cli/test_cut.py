"""``pyseg cut``: what is written where, and what it holds."""

import re

import numpy as np
import pytest
from PIL import Image

import pyseg
from pyseg import images

BOX = "40,10,120,120"


@pytest.fixture
def one(tmp_path, photo):
    path = tmp_path / "one.png"
    Image.fromarray(photo).save(path)
    return path


@pytest.fixture
def strokes(photo):
    """Signed: a line of the object, a line around it."""
    map_ = np.full(photo.shape[:2], -1, np.int8)
    map_[60:64, 70:90] = 1
    map_[2:5, 5:150] = 0
    return map_


def test_box_to_png(pyseg_cli, tmp_path, one, photo):
    done = pyseg_cli("cut", one, "-o", tmp_path / "new" / "mask.png", "--box", BOX)
    want = pyseg.cut(photo, box=(40, 10, 120, 120))
    assert (done.code, done.err) == (0, "")
    assert np.array_equal(images.read_image(tmp_path / "new" / "mask.png"), want * np.uint8(255))
    threads = pyseg.get_num_threads()
    said = rf"{one}: 160 x 128, {want.sum()} pixels \(\d+\.\d %\) in \d+\.\d ms \({threads} threads?\) -> \S+mask.png\n"
    assert re.fullmatch(said, done.out)


def test_clicks_and_npy(pyseg_cli, tmp_path, one, photo):
    clicks = ["--click", "80,60", "--click", "5,5,bg", "--click", "90,100,fg"]
    assert pyseg_cli("cut", one, "-o", tmp_path / "m.npy", *clicks).code == 0
    want = pyseg.cut(photo, clicks=[(80, 60, True), (5, 5, False), (90, 100, True)])
    assert np.array_equal(np.load(tmp_path / "m.npy"), want)


@pytest.mark.parametrize("kind", ["grey", "color", "transparent"])
def test_pictures_of_strokes(pyseg_cli, tmp_path, one, photo, strokes, kind):
    if kind == "grey":
        picture = np.select([strokes == 1, strokes == 0], [1, 0], 255).astype(np.uint8)
    else:
        picture = np.zeros((*strokes.shape, 4), np.uint8)
        picture[strokes == 1] = (255, 0, 0, 255)
        picture[strokes == 0] = (0, 0, 255, 255)
        picture = picture[..., :3] if kind == "color" else picture
    Image.fromarray(picture).save(tmp_path / "s.png")
    assert pyseg_cli("cut", one, "-o", tmp_path / "m.npy", "--scribbles", tmp_path / "s.png").code == 0
    assert np.array_equal(np.load(tmp_path / "m.npy"), pyseg.cut(photo, scribbles=strokes))


def test_contour_trimap_and_mask(pyseg_cli, tmp_path, one, photo, strokes):
    trimap = np.select([strokes == 1, strokes == 0], [255, 0], 128).astype(np.uint8)
    guess = np.zeros(strokes.shape, np.uint8)
    guess[30:110, 50:110] = 255
    Image.fromarray(trimap).save(tmp_path / "t.png")
    Image.fromarray(guess).save(tmp_path / "g.png")
    corners = [[40, 10], [120, 10], [120, 120], [40, 120]]
    for options, want in (
        (["--trimap", tmp_path / "t.png"], {"trimap": trimap}),
        (["--mask", tmp_path / "g.png"], {"mask": guess}),
        (["--contour", "40,10,120,10,120,120,40,120"], {"contour": corners}),
    ):
        assert pyseg_cli("cut", one, "-o", tmp_path / "m.npy", *options).code == 0
        assert np.array_equal(np.load(tmp_path / "m.npy"), pyseg.cut(photo, **want))


def test_overlay(pyseg_cli, tmp_path, one, photo):
    done = pyseg_cli("cut", one, "-o", tmp_path / "m.npy", "--box", BOX, "--overlay", tmp_path / "o.png")
    assert done.code == 0
    mask, shown = np.load(tmp_path / "m.npy"), images.read_image(tmp_path / "o.png")
    line = (shown == (255, 220, 0)).all(-1)
    assert line.any()
    assert np.array_equal(shown[mask & ~line], photo[mask & ~line])
    assert np.array_equal(shown[~mask & ~line], photo[~mask & ~line] // 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "got none"),
        (["--box", "1,2,3"], "--box must be X0,Y0,X1,Y1, got 1,2,3"),
        (["--box", "a,b,c,d"], "got a,b,c,d"),
        (["--click", "1"], "--click must be X,Y or X,Y,bg, got 1"),
        (["--click", "1,2,no"], "--click must be X,Y or X,Y,bg, got 1,2,no"),
        (["--contour", "1,2,3,4"], "--contour must be"),
        (["--box", BOX, "--threads", "0"], "--threads must be at least 1, got 0"),
        (["--box", BOX, "--overlay", "a.gif"], "--overlay must end in"),
    ],
)
def test_refused_in_words(pyseg_cli, tmp_path, one, options, said):
    done = pyseg_cli("cut", one, "-o", tmp_path / "m.png", *options)
    assert done.code == 2
    assert said in done.err
    assert not (tmp_path / "m.png").exists()


@pytest.mark.parametrize("name", ["m.jpg", "one.png"])
def test_output_is_no_source_and_no_jpeg(pyseg_cli, tmp_path, one, name):
    before = one.read_bytes()
    assert pyseg_cli("cut", one, "-o", tmp_path / name, "--box", BOX).code == 2
    assert one.read_bytes() == before


@pytest.mark.parametrize("box", ["500,500,600,600", "9,9,4,4", "nan,0,1,1"])
def test_wrong_values_leave_nothing(pyseg_cli, tmp_path, one, box):
    done = pyseg_cli("cut", one, "-o", tmp_path / "m.png", "--box", box)
    assert done.code == 1
    assert "cut: box must" in done.err
    assert not (tmp_path / "m.png").exists()


def test_bad_file_of_strokes(pyseg_cli, tmp_path, one, photo):
    Image.fromarray(photo[..., 0]).save(tmp_path / "s.png")
    done = pyseg_cli("cut", one, "-o", tmp_path / "m.png", "--scribbles", tmp_path / "s.png")
    assert done.code == 1
    assert "grey strokes must be 0, 1 or 255" in done.err
