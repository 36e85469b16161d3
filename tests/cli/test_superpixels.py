"""``pyseg superpixels``: what is written where, and what it holds."""

import os
import re

import numpy as np
import pytest
from PIL import Image

import pyseg
from pyseg import images


@pytest.fixture
def one(tmp_path, photo):
    path = tmp_path / "one.png"
    Image.fromarray(photo).save(path)
    return path


@pytest.fixture
def labels_of(photo):
    def call(image=photo, segments=100, **options):
        return pyseg.slic(image, n_segments=segments, **options)

    return call


# ---- one file


@pytest.mark.parametrize("name", ["l.npy", "l.npz", "l.tif", "l.tiff", "new/folder/l.NPY"])
def test_label_map_is_that_of_the_function(pyseg_cli, tmp_path, one, labels_of, name):
    done = pyseg_cli("superpixels", one, "-o", tmp_path / name)
    assert (done.code, done.err) == (0, "")
    assert np.array_equal(images.read_labels(tmp_path / name), labels_of())


def test_says_count_and_time(pyseg_cli, tmp_path, one, labels_of):
    done = pyseg_cli("superpixels", one, "-o", tmp_path / "a.png", "-k", 60)
    count = len(np.unique(labels_of(segments=60)))
    threads = pyseg.get_num_threads()
    said = rf"{one}: 160 x 128, {count} superpixels in \d+\.\d ms \({threads} threads?\) -> {tmp_path / 'a.png'}\n"
    assert re.fullmatch(said, done.out)


def test_picture_of_contours(pyseg_cli, tmp_path, one, photo, labels_of):
    pyseg_cli("superpixels", one, "-o", tmp_path / "a.png")
    assert np.array_equal(images.read_image(tmp_path / "a.png"), images.mark_contours(photo, labels_of()))


@pytest.mark.parametrize("color", ["red", "#ff0000", "255,0,0", "255, 0, 0"])
def test_color(pyseg_cli, tmp_path, one, photo, labels_of, color):
    pyseg_cli("superpixels", one, "-o", tmp_path / "a.png", "--color", color)
    assert np.array_equal(images.read_image(tmp_path / "a.png"), images.mark_contours(photo, labels_of(), (255, 0, 0)))


def test_picture_of_means(pyseg_cli, tmp_path, one, photo, labels_of):
    assert pyseg_cli("superpixels", one, "-o", tmp_path / "a.png", "--draw", "mean").code == 0
    assert np.array_equal(images.read_image(tmp_path / "a.png"), images.mean_color(photo, labels_of()))
    assert pyseg_cli("superpixels", one, "-o", tmp_path / "a.jpg", "--draw", "mean").code == 0
    assert images.read_image(tmp_path / "a.jpg").shape == photo.shape


@pytest.mark.parametrize("options", [("--labels", "png"), ("--draw", "none"), ("--draw", "none", "--labels", "png")])
def test_png_of_labels(pyseg_cli, tmp_path, one, labels_of, options):
    assert pyseg_cli("superpixels", one, "-o", tmp_path / "a.png", *options).code == 0
    assert np.array_equal(images.read_labels(tmp_path / "a.png"), labels_of())


def test_every_parameter_arrives(pyseg_cli, tmp_path, one, labels_of):
    numbers = ["--segments", 50, "--compactness", 3.5, "--max-iter", 4, "--sigma", 1.5]
    flags = ["--slic-zero", "--no-connectivity"]
    assert pyseg_cli("superpixels", one, "-o", tmp_path / "a.npy", *numbers, *flags).code == 0
    want = labels_of(segments=50, compactness=3.5, max_iter=4, sigma=1.5, slic_zero=True, enforce_connectivity=False)
    assert np.array_equal(np.load(tmp_path / "a.npy"), want)


def test_size_is_the_mean_width(pyseg_cli, tmp_path, one, labels_of):
    pyseg_cli("superpixels", one, "-o", tmp_path / "a.npy", "--size", 16)
    assert np.array_equal(np.load(tmp_path / "a.npy"), labels_of(segments=80))
    pyseg_cli("superpixels", one, "-o", tmp_path / "b.npy", "--size", 4000)
    assert np.array_equal(np.load(tmp_path / "b.npy"), labels_of(segments=1))


def test_threads(pyseg_cli, tmp_path, one):
    before = pyseg.get_num_threads()
    try:
        done = pyseg_cli("superpixels", one, "-o", tmp_path / "a.npy", "--threads", 1)
        assert "(1 thread)" in done.out
        assert pyseg.get_num_threads() == 1
    finally:
        pyseg.set_num_threads(before)


def test_grey_and_16_bits(pyseg_cli, tmp_path, photo, labels_of):
    grey = photo[..., 1]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert pyseg_cli("superpixels", tmp_path / "grey.png", "-o", tmp_path / "grey.npy").code == 0
    assert np.array_equal(np.load(tmp_path / "grey.npy"), labels_of(grey))
    deep = grey.astype(np.uint16) * 10 + 300
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert pyseg_cli("superpixels", tmp_path / "deep.png", "-o", tmp_path / "deep.npy").code == 0
    assert np.array_equal(np.load(tmp_path / "deep.npy"), labels_of(images.to_uint8(deep)))


@pytest.mark.parametrize("kind", ["png", "tif", "npz"])
def test_more_labels_than_16_bits(pyseg_cli, tmp_path, kind):
    picture = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "fine.png")
    done = pyseg_cli(
        "superpixels", tmp_path / "fine.png", "-o", tmp_path / "out", "-k", 90000, "--labels", kind, "--draw", "none",
        "--no-connectivity",
    )  # fmt: skip
    assert done.code == 0
    got = images.read_labels(tmp_path / "out" / f"fine.labels.{kind}")
    assert got.max() > 65535
    assert np.array_equal(got, pyseg.slic(picture, n_segments=90000, enforce_connectivity=False))


def test_quiet(pyseg_cli, tmp_path, one, photos):
    done = pyseg_cli("superpixels", one, "-o", tmp_path / "a.png", "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    done = pyseg_cli("superpixels", photos, "-o", tmp_path / "out", "--quiet")
    assert (done.code, done.out) == (1, "")
    assert len(done.err.splitlines()) == 2  # the bad file is an error


# ---- folders


def test_folder(pyseg_cli, tmp_path, photos, files_in):
    done = pyseg_cli("superpixels", photos, "-o", tmp_path / "out")
    assert done.code == 1
    assert files_in(tmp_path / "out") == [f"{name}.{kind}.png" for name in "abc" for kind in ("contours", "labels")]
    assert done.out == ""
    assert "3 of 4 done in" in done.err
    assert re.search(rf"1 bad file:\n  {photos}/broken.jpg: truncated, corrupt or unsupported JPEG \(.+\)\n$", done.err)


def test_recursive_repeats_sub_folders(pyseg_cli, tmp_path, photos, files_in, photo, labels_of):
    (photos / "broken.jpg").unlink()
    done = pyseg_cli("superpixels", photos, "-o", tmp_path / "out", "-r", "--draw", "both", "--labels", "npy")
    assert done.code == 0
    endings = ("contours.png", "labels.npy", "mean.png")
    assert files_in(tmp_path / "out") == [f"{name}.{e}" for name in ("a", "b", "c", "deep/d") for e in endings]
    assert np.array_equal(np.load(tmp_path / "out" / "deep" / "d.labels.npy"), labels_of(photo[3:, 3:]))


@pytest.mark.parametrize(
    ("options", "endings"),
    [
        (["--draw", "none"], ["labels.png"]),
        (["--labels", "none"], ["contours.png"]),
        (["--draw", "mean", "--labels", "tif"], ["labels.tif", "mean.png"]),
    ],
)
def test_what_goes_into_a_folder(pyseg_cli, tmp_path, one, files_in, options, endings):
    assert pyseg_cli("superpixels", one, "-o", tmp_path / "out", *options).code == 0
    assert files_in(tmp_path / "out") == [f"one.{ending}" for ending in endings]


def test_a_second_run_into_the_same_folder_sees_the_same_sources(pyseg_cli, photos, files_in):
    assert pyseg_cli("superpixels", photos, "-o", photos).code == 1
    first = files_in(photos)
    assert pyseg_cli("superpixels", photos, "-o", photos).code == 1
    assert files_in(photos) == first


def test_same_stem_keeps_the_full_name(pyseg_cli, tmp_path, photos, files_in, photo, labels_of):
    Image.fromarray(photo[:100]).save(photos / "a.png")
    pyseg_cli("superpixels", photos, "-o", tmp_path / "out", "--draw", "none")
    names = ["a.jpg", "a.png", "b", "c"]
    assert files_in(tmp_path / "out") == [f"{name}.labels.png" for name in names]
    assert np.array_equal(images.read_labels(tmp_path / "out" / "a.png.labels.png"), labels_of(photo[:100]))


def test_same_name_in_two_folders(pyseg_cli, tmp_path, photo, files_in):
    for folder in ("left", "right"):
        (tmp_path / folder).mkdir()
        Image.fromarray(photo).save(tmp_path / folder / "0.png")
    files = [tmp_path / folder / "0.png" for folder in ("left", "right")]
    assert pyseg_cli("superpixels", *files, files[0], "-o", tmp_path / "out", "--draw", "none").code == 0
    assert files_in(tmp_path / "out") == ["left/0.labels.png", "right/0.labels.png"]


def test_glob(pyseg_cli, tmp_path, photos, files_in):
    done = pyseg_cli("superpixels", f"{photos}/**/[ad].*", "-o", tmp_path / "out", "--labels", "none")
    assert done.code == 0
    assert files_in(tmp_path / "out") == ["a.contours.png", "deep/d.contours.png"]


def test_a_file_name_that_looks_like_a_pattern(pyseg_cli, tmp_path, photo, files_in):
    Image.fromarray(photo).save(tmp_path / "a[1].png")
    assert pyseg_cli("superpixels", tmp_path / "a[1].png", "-o", tmp_path / "out", "--labels", "none").code == 0
    assert files_in(tmp_path / "out") == ["a[1].contours.png"]


def test_file_names_of_no_encoding(pyseg_cli, tmp_path, photo):
    name = os.fsdecode(b"\xff\n\x1b[31m.png")
    Image.fromarray(photo).save(tmp_path / name)
    done = pyseg_cli("superpixels", tmp_path, "-o", tmp_path / "out", "--labels", "none")
    assert done.code == 0
    assert done.out.count("\n") == 1
    assert "\x1b" not in done.out
    assert os.listdir(os.fsencode(tmp_path / "out")) == [b"\xff\n\x1b[31m.contours.png"]


# ---- arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-k", "0"], "--segments must be at least 1, got 0"),
        (["-k", "many"], "'many'"),
        (["--size", "0.5"], "--size must be at least 1, got 0.5"),
        (["-k", "9", "--size", "9"], "--segments and --size exclude each other, got 9 and 9"),
        (["--compactness", "0"], "--compactness must be above 0, got 0"),
        (["--compactness", "nan"], "--compactness must be above 0, got nan"),
        (["--max-iter", "0"], "--max-iter must be at least 1, got 0"),
        (["--sigma", "-1"], "--sigma must be at least 0, got -1"),
        (["--sigma", "inf"], "--sigma must be at least 0, got inf"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
        (["--draw", "lines"], "'lines' is not one of 'contours', 'mean', 'both', 'none'"),
        (["--on-error", "cry"], "'cry' is not one of 'skip', 'stop'"),
        (["--color", "1,2"], "--color must be a name, #rrggbb or R,G,B with values in 0..255, got 1,2"),
        (["--color", "0,0,256"], "--color must be a name, #rrggbb or R,G,B with values in 0..255, got 0,0,256"),
        (["--draw", "none", "--labels", "none"], "something to write, got --draw none and --labels none"),
        (["--draw", "both"], "-o must be a folder for --draw both, got {out}, which holds a picture alone"),
        (["--draw", "mean", "--labels", "npy"], "-o must be a folder for --draw mean and --labels npy"),
        (["-o", "{out}.gif"], "-o must be a folder or end in one of .png, .jpg, .jpeg, .npy, .npz, .tif, .tiff, got"),
        (["-o", "{out}.npy", "--draw", "mean"], "which holds a label map alone"),
        (["-o", "{out}.npy", "--labels", "npz"], "-o must be a folder for --labels npz"),
        (["-o", "/dev/null"], "-o must be a folder or a file of a known ending, got /dev/null"),
        (["-o", "{source}"], "an output must not replace a source, got {source}"),
        (["--manifest", "{source}"], "an output must not replace a source, got {source}"),
        (["-o", "{source}/below"], "an output must be in a folder, got {source}/below/one.contours.png where"),
        (["--frobnicate"], "No such option: --frobnicate"),
    ],
)
def test_a_wrong_argument_is_one_line(pyseg_cli, tmp_path, one, files_in, options, message):
    out = tmp_path / "out.png"
    before = files_in(tmp_path)
    told = [option.format(out=out, source=one) for option in options]
    done = pyseg_cli("superpixels", one, "-o", out, *told)
    assert (done.code, done.out) == (2, "")
    assert message.format(out=out, source=one) in done.err
    assert done.err.count("\n") == 1
    assert files_in(tmp_path) == before


def test_wrong_sources(pyseg_cli, tmp_path, photos):
    def why(*arguments):
        done = pyseg_cli("superpixels", *arguments)
        assert (done.code, done.err.count("\n")) == (2, 1)
        return done.err

    nowhere = tmp_path / "nowhere"
    assert f"there is no {nowhere}" in why(nowhere, "-o", tmp_path / "out")
    nowhere.mkdir()
    assert f"no picture found in {nowhere} (--recursive searches sub-folders)" in why(nowhere, "-o", tmp_path / "out")
    assert "no picture found" in why(f"{photos}/*.gif", "-o", tmp_path / "out")
    assert "-o must be a folder where SOURCE is not one file" in why(photos, "-o", tmp_path / "out.png")
    assert "Missing option '--out'" in why(photos)
    assert "Missing argument" in why("-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
