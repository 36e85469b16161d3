"""``pyseg compare``: the search for parameters, the picture, the table and the figures."""

import json
import math
import re

import numpy as np
import pytest
from PIL import Image

import pyseg
from pyseg import images, metrics
from pyseg.cli.methods import Method, Search, count, prepare, search
from pyseg.cli.panels import Panel, draw

NAMES = ["slic", "felzenszwalb", "quickshift", "turbopixels"]


@pytest.fixture
def one(tmp_path, photo):
    path = tmp_path / "one.png"
    Image.fromarray(photo).save(path)
    return path


@pytest.fixture
def people(tmp_path, photo):
    """Two label maps of the photograph, as files and as an array."""
    maps = np.stack([pyseg.slic(photo, k, compactness=3) for k in (8, 15)])
    paths = [tmp_path / "anna.png", tmp_path / "ben.npy"]
    for path, labels in zip(paths, maps, strict=True):
        images.write_labels(path, labels)
    return paths, maps


# ---- the search


@pytest.mark.parametrize("target", [1, 7, 100, 3000])
@pytest.mark.parametrize("start", [0.1, 10.0, 500.0])
def test_a_search_comes_within_two_percent(target, start):
    asked = []

    def tried(value):
        asked.append(value)
        return round(2e4 / value**1.3)

    found = search(tried, target, start, low=1e-3, high=1e6)
    assert abs(found.count - target) <= 0.02 * target
    assert found.count == round(2e4 / found.value**1.3)
    assert found.calls == len(asked) <= 14
    assert found.value == float(f"{found.value:.3g}")


def test_a_search_out_of_reach_ends_at_the_nearest():
    assert search(lambda value: 50, 9, 10.0, low=1, high=100) == Search(10.0, 50, 3)
    few = search(lambda value: max(80, round(1000 / value)), 9, 10.0, low=1, high=100)
    assert (few.count, few.value) == (80, 40.0)
    many = search(lambda value: round(1000 / value), 10**6, 10.0, low=1, high=100)
    assert (many.count, many.value) == (1000, 1.0)


def test_a_search_over_a_jump_or_a_wobble_keeps_the_best():
    asked = {}

    def tried(value):
        asked[value] = 500 if value < 33 else round(90 + 40 * math.sin(value))
        return asked[value]

    found = search(tried, 300, 10.0, low=1, high=1000)
    assert found.count == min(asked.values(), key=lambda n: abs(n - 300))
    assert asked[found.value] == found.count
    assert found.calls <= 14


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("segments", [12, 100])
def test_prepared_methods_give_about_the_number(photo, method, segments):
    prepared = prepare(method, photo, segments)
    labels = prepared.call()
    assert labels.shape == photo.shape[:2]
    assert count(labels) == pytest.approx(segments, rel=0.25)
    assert np.array_equal(labels, getattr(pyseg, method.value)(photo, **prepared.parameters))
    if method is Method.QUICKSHIFT:
        assert (prepared.parameters["kernel_size"] > 5) == (segments == 12)  # links of 15 pixels leave more than 12


def test_small_superpixels_are_not_held_back_by_the_least_size(photo):
    prepared = prepare(Method.FELZENSZWALB, photo, 1000)
    assert prepared.parameters["min_size"] == 128 * 160 // 4000
    assert count(prepared.call()) > 500


# ---- the command


def test_picture_table_and_figures(pyseg_cli, tmp_path, one, photo):
    out, log = tmp_path / "new" / "c.png", tmp_path / "c.json"
    done = pyseg_cli("compare", one, "-o", out, "-k", 60, "--runs", 2, "--json", log)
    assert (done.code, done.err) == (0, "")
    known = json.loads(log.read_text())
    assert [row["name"] for row in known["rows"]] == NAMES
    assert (known["width"], known["height"], known["segments"], known["runs"]) == (160, 128, 60, 2)
    assert known["threads"] == pyseg.get_num_threads()
    lines = done.out.splitlines()
    assert lines[0].startswith("one.png: 160 x 128, 60 superpixels asked for, median of 2, ")
    assert lines[-1] == f"-> {out}, {log}"
    for row in known["rows"]:
        labels = getattr(pyseg, row["name"])(photo, **row["parameters"])
        assert row["superpixels"] == count(labels) == pytest.approx(60, rel=0.25)
        assert row["explained_variation"] == metrics.explained_variation(labels, photo)
        assert row["compactness"] == metrics.compactness(labels)
        assert row["boundary_recall"] is None
        assert row["median_ms"] > 0
        line = next(line for line in lines if f" {row['name']} " in line)
        cells = [cell.strip() for cell in re.split("[│|]", line)]
        assert cells[2:6] == [
            str(row["superpixels"]), f"{row['median_ms']:.2f}", f"{row['explained_variation']:.3f}",
            f"{row['compactness']:.3f}",
        ]  # fmt: skip
        assert all(f"{name}={value:g}" in cells[6] for name, value in row["parameters"].items())
        assert ("found in" in cells[6]) == (row["name"] in ("felzenszwalb", "quickshift"))
    assert images.read_image(out).shape[1] > 2 * 480


def test_truth(pyseg_cli, tmp_path, one, photo, people):
    paths, maps = people
    log = tmp_path / "c.json"
    given = [argument for path in paths for argument in ("--truth", path)]
    done = pyseg_cli(
        "compare", one, "-o", tmp_path / "c.png", "--methods", "slic", "--runs", 1, "--json", log, "-k", 90, *given
    )
    assert done.code == 0
    (row,) = json.loads(log.read_text())["rows"]
    labels = pyseg.slic(photo, 90)
    assert row["undersegmentation_error"] == metrics.undersegmentation_error(labels, maps)
    assert row["boundary_recall"] == metrics.boundary_recall(labels, maps, radius=2)
    assert row["achievable_segmentation_accuracy"] == metrics.achievable_segmentation_accuracy(labels, maps)
    assert all(head in done.out for head in ("EV", "CO", "UE", "BR 2px", "ASA"))
    assert f"{row['boundary_recall']:.3f}" in done.out


def test_large_photographs_are_scaled_and_it_says_so(pyseg_cli, tmp_path, photo, people):
    large = tmp_path / "large.png"
    Image.fromarray(photo).resize((480, 384)).save(large)
    truth = tmp_path / "truth.png"
    images.write_labels(truth, people[1][0].repeat(3, 0).repeat(3, 1))
    log = tmp_path / "c.json"
    options = ["--methods", "slic", "--runs", 1, "--json", log, "-k", 60, "--truth", truth, "-o", tmp_path / "c.png"]
    done = pyseg_cli("compare", large, "--max-size", 160, *options)
    assert done.out.startswith("large.png: 480 x 384 scaled down to 160 x 128 (--max-size 160), 60 superpixels")
    known = json.loads(log.read_text())
    assert (known["width"], known["height"]) == (160, 128)
    small = np.array(Image.open(large).resize((160, 128), Image.Resampling.LANCZOS))
    labels = pyseg.slic(small, 60)
    assert known["rows"][0]["explained_variation"] == metrics.explained_variation(labels, small)
    assert known["rows"][0]["boundary_recall"] == metrics.boundary_recall(labels, people[1][0])
    done = pyseg_cli("compare", large, "--max-size", 0, *options)
    assert "scaled" not in done.out
    assert json.loads(log.read_text())["width"] == 480


def test_the_default_output_and_some_methods(pyseg_cli, monkeypatch, tmp_path, one, files_in):
    monkeypatch.chdir(tmp_path)
    done = pyseg_cli("compare", "one.png", "--methods", "turbopixels, slic,slic", "-k", 50, "--runs", 1)
    assert done.code == 0
    assert files_in(tmp_path) == ["compare.png", "one.png"]
    assert done.out.endswith("-> compare.png\n")
    assert done.out.index(" turbopixels ") < done.out.index(" slic ")
    assert "quickshift" not in done.out


def test_grey_of_16_bits_and_jpeg(pyseg_cli, tmp_path, photo):
    deep = photo[..., 1].astype(np.uint16) * 10 + 300
    Image.fromarray(deep).save(tmp_path / "deep.png")
    log = tmp_path / "c.json"
    done = pyseg_cli(
        "compare", tmp_path / "deep.png", "-o", tmp_path / "c.JPG", "-k", 40, "--runs", 1, "--json", log,
        "--methods", "slic,felzenszwalb",
    )  # fmt: skip
    assert done.code == 0
    assert images.read_image(tmp_path / "c.JPG").ndim == 3
    shown = np.repeat(images.to_uint8(deep)[..., None], 3, axis=2)
    assert json.loads(log.read_text())["rows"][0]["superpixels"] == count(pyseg.slic(shown, 40))


def test_threads(pyseg_cli, tmp_path, one):
    before = pyseg.get_num_threads()
    try:
        done = pyseg_cli("compare", one, "-o", tmp_path / "c.png", "--methods", "slic", "--runs", 1, "--threads", 1)
        assert "median of 1, 1 thread\n" in done.out
        assert pyseg.get_num_threads() == 1
    finally:
        pyseg.set_num_threads(before)


def test_quiet(pyseg_cli, tmp_path, one):
    done = pyseg_cli("compare", one, "-o", tmp_path / "c.png", "--methods", "slic", "--runs", 1, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert (tmp_path / "c.png").is_file()


# ---- what goes wrong


def broken(image, **options):
    raise ValueError("turbopixels: image must be\nlarger")


def test_the_others_go_on_without_a_method_that_fails(pyseg_cli, monkeypatch, tmp_path, one):
    monkeypatch.setattr(pyseg, "turbopixels", broken)
    done = pyseg_cli(
        "compare", one, "-o", tmp_path / "c.png", "--methods", "turbopixels,slic", "--runs", 1, "--json",
        tmp_path / "c.json",
    )  # fmt: skip
    assert done.code == 1
    assert done.err == "not compared: turbopixels: turbopixels: image must be larger\n"
    assert " slic " in done.out
    assert (tmp_path / "c.png").is_file()
    known = json.loads((tmp_path / "c.json").read_text())
    assert known["missing"] == {"turbopixels": "turbopixels: image must be larger"}


def test_no_method_is_left(pyseg_cli, monkeypatch, tmp_path, one, files_in):
    monkeypatch.setattr(pyseg, "turbopixels", broken)
    done = pyseg_cli("compare", one, "-o", tmp_path / "c.png", "--methods", "turbopixels", "--runs", 1)
    assert (done.code, done.out) == (1, "")
    assert "no method could be run" in done.err
    assert files_in(tmp_path) == ["one.png"]


def test_an_interrupted_comparison_leaves_nothing(pyseg_cli, monkeypatch, tmp_path, one, files_in):
    def interrupted(image, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(pyseg, "turbopixels", interrupted)
    done = pyseg_cli("compare", one, "-o", tmp_path / "c.png", "--methods", "slic,turbopixels", "--runs", 1)
    assert (done.code, done.out, done.err) == (130, "", "interrupted: 0 of 1 done\n")
    assert files_in(tmp_path) == ["one.png"]


def test_a_photograph_or_truth_that_cannot_be_read(pyseg_cli, tmp_path, one, people):
    short = ["-o", tmp_path / "c.png", "--methods", "slic", "--runs", 1]
    done = pyseg_cli("compare", tmp_path / "absent.png", *short)
    assert (done.code, done.out) == (1, "")
    assert f"  {tmp_path}/absent.png: no such file\n" in done.err
    done = pyseg_cli("compare", one, "--truth", tmp_path / "absent.png", *short)
    assert (done.code, done.out) == (1, "")
    assert f"--truth: cannot read {tmp_path}/absent.png: no such file\n" in done.err
    images.write_labels(tmp_path / "t.png", people[1][0][1:])
    done = pyseg_cli("compare", one, "--truth", tmp_path / "t.png", *short)
    assert "--truth must be of the photograph's size, 160 x 128, got 160 x 127" in done.err
    assert not (tmp_path / "c.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-k", "0"], "--segments must be at least 1, got 0"),
        (["--max-size", "-1"], "--max-size must be at least 0, got -1"),
        (["--runs", "0"], "--runs must be at least 1, got 0"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
        (["--methods", "slic,snic"], "--methods must be some of slic, felzenszwalb, quickshift, turbopixels, got snic"),
        (["--methods", " , "], "--methods must be some of slic, felzenszwalb, quickshift, turbopixels, got ' , '"),
        (["-o", "c.npy"], "-o must end in .png, .jpg or .jpeg, got c.npy"),
        (["-o", "{source}"], "an output must not replace a source, got {source}"),
        (["--json", "{source}"], "an output must not replace a source, got {source}"),
        (["--truth", "{truth}", "-o", "{truth}"], "an output must not replace a source, got {truth}"),
        (["-o", "{source}/c.png"], "an output must be in a folder, got {source}/c.png where {source} is a file"),
    ],
)
def test_a_wrong_argument_is_one_line(pyseg_cli, tmp_path, one, people, files_in, options, message):
    before = files_in(tmp_path)
    places = {"source": one, "truth": people[0][0]}
    done = pyseg_cli("compare", one, *[option.format(**places) for option in options])
    assert (done.code, done.out) == (2, "")
    assert message.format(**places) in done.err
    assert done.err.count("\n") == 1
    assert files_in(tmp_path) == before


# ---- the picture


def places_of(part, whole):
    """(y, x) of every place where ``part`` stands in ``whole``."""
    windows = np.lib.stride_tricks.sliding_window_view(whole, part.shape)[..., 0, :, :, :]
    corner = np.argwhere((windows[:, :, 0, :8] == part[0, :8]).all((-1, -2)))
    return [(int(y), int(x)) for y, x in corner if np.array_equal(windows[y, x], part)]


@pytest.mark.parametrize(
    ("shape", "number", "grid"), [((300, 500), 4, (2, 2)), ((700, 500), 4, (1, 4)), ((300, 500), 1, (1, 1))]
)
def test_every_panel_is_there_whole(shape, number, grid):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    maps = [rng.integers(0, 2, shape).cumsum(1).astype(np.int32) // 100 for _ in range(number)]
    sheet = draw(image, [Panel(labels, f"method {i}", ["a line"]) for i, labels in enumerate(maps)], "caption")
    places = [places_of(images.mark_contours(image, labels), sheet) for labels in maps]
    assert all(len(place) == 1 for place in places)
    flat = [place[0] for place in places]
    assert flat == sorted(flat)
    assert (len({y for y, _ in flat}), len({x for _, x in flat})) == grid
    for y, x in flat:  # words above each
        assert (sheet[y - 20 : y, x : x + shape[1]] < 128).any()
    assert (sheet[-40:] < 255).any()


def test_small_photographs_are_enlarged_and_words_fit(photo):
    labels = pyseg.slic(photo, 20)
    sheet = draw(photo, [Panel(labels, "slic", ["words " * 60])], "caption " * 40)
    large, wide = photo.repeat(3, 0).repeat(3, 1), labels.repeat(3, 0).repeat(3, 1)
    assert len(places_of(images.mark_contours(large, wide), sheet)) == 1
    assert (sheet[:, -16:] == 255).all()  # the margin is clear


@pytest.mark.parametrize("shape", [(1, 1), (640, 1), (1, 640), (7, 3)])
def test_odd_shapes(shape):
    image = np.full((*shape, 3), 90, np.uint8)
    sheet = draw(image, [Panel(np.zeros(shape, int), "slic", ["words"])] * 4, "caption")
    assert (sheet == 90).all(-1).sum() >= 4 * image[..., 0].size
    assert sheet.size < 40e6
