"""``pyseg crf``: what reaches the CRF, what is written where, and what it holds."""

import json
import re

import numpy as np
import pytest
from PIL import Image

import pyseg
from pyseg import images
from pyseg.cli.paint import overlay, palette

# ---- one map


def test_labels_are_those_of_the_function(pyseg_cli, tmp_path, pair, photo, probs, calls):
    done = pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / "l.png")
    assert (done.code, done.err) == (0, "")
    (call,) = calls
    assert np.array_equal(call.unary, probs)
    assert call.unary.dtype == np.float32
    assert np.array_equal(call.image, photo)
    assert np.array_equal(images.read_labels(tmp_path / "l.png"), call.result.argmax(-1))
    with Image.open(tmp_path / "l.png") as picture:
        assert picture.mode == "P"
        assert picture.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    left = len(np.unique(call.result.argmax(-1)))
    said = rf"{pair[0]}: 160 x 128, {left} of 3 classes in \d+\.\d ms \(\d+ threads?\) -> {tmp_path}/l.png\n"
    assert re.fullmatch(said, done.out)


def test_every_parameter_arrives(pyseg_cli, tmp_path, pair, calls):
    defaults = {
        "n_iter": 10,
        "gaussian": pyseg.Gaussian(sxy=3.0, weight=3.0),
        "bilateral": pyseg.Bilateral(sxy=80.0, srgb=13.0, weight=10.0),
        "normalization": "symmetric",
        "unary_from": "probs",
        "storage": "float32",
    }
    assert pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / "l.npy").code == 0
    assert calls[-1].options == defaults
    numbers = ["--n-iter", 4, "--gaussian-sxy", 2.5, "--gaussian-weight", 1.5, "--bilateral-sxy", 60]
    numbers += ["--bilateral-srgb", 7, "--bilateral-weight", 4, "--normalization", "before", "--storage", "float16"]
    assert pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / "l.npy", *numbers, "--from", "logits").code == 0
    assert calls[-1].options == {
        "n_iter": 4,
        "gaussian": pyseg.Gaussian(sxy=2.5, weight=1.5),
        "bilateral": pyseg.Bilateral(sxy=60, srgb=7, weight=4),
        "normalization": "before",
        "unary_from": "logits",
        "storage": "float16",
    }


@pytest.mark.parametrize("how", ["symmetric", "before", "after", "none"])
@pytest.mark.parametrize("kind", ["probs", "logits", "energy"])
def test_every_normalization_and_kind_is_known(pyseg_cli, tmp_path, pair, calls, how, kind):
    done = pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / "l.npy", "--normalization", how, "--from", kind)
    assert (done.code, done.err) == (0, "")
    assert calls[0].options["normalization"] == (None if how == "none" else how)
    assert calls[0].options["unary_from"] == kind


def test_without_kernels(pyseg_cli, tmp_path, pair, probs, calls):
    weights = ["--gaussian-weight", 0, "--bilateral-weight", 0]
    assert pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / "l.npy", *weights).code == 0
    assert calls[0].options["gaussian"] is calls[0].options["bilateral"] is None
    assert np.allclose(calls[0].result, probs, atol=1e-4)


@pytest.mark.parametrize("name", ["p.npy", "p.npz", "p.NPZ"])
@pytest.mark.parametrize("first", [False, True])
def test_probabilities_keep_the_layout(pyseg_cli, tmp_path, photo, pair, probs, calls, name, first):
    np.save(pair[0], probs.transpose(2, 0, 1) if first else probs)
    assert pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / name).code == 0
    want = calls[0].result.transpose(2, 0, 1) if first else calls[0].result
    if name == "p.npy":
        got = np.load(tmp_path / name)
        assert got.dtype == np.float32
        assert np.array_equal(got, want)
        return
    with np.load(tmp_path / name) as got:
        assert list(got) == ["probs"]
        assert np.array_equal(got["probs"], want.astype(np.float16))


def test_refined_probabilities_can_be_refined(pyseg_cli, tmp_path, pair, calls):
    assert pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / "once.npz").code == 0
    assert pyseg_cli("crf", tmp_path / "once.npz", "-i", pair[1], "-o", tmp_path / "twice.npz").code == 0
    assert np.array_equal(calls[1].unary, calls[0].result.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535)])
def test_a_grey_picture_is_the_second_class(pyseg_cli, tmp_path, pair, probs, calls, dtype, full):
    stored = np.rint(probs[..., 1] * full).astype(dtype)
    Image.fromarray(stored).save(tmp_path / "grey.png")
    done = pyseg_cli(
        "crf", tmp_path / "grey.png", "-i", pair[1], "-o", tmp_path / "out", "--write", "both", "--probs", "png"
    )
    assert done.code == 0
    (call,) = calls
    assert call.unary.shape == (128, 160, 2)
    assert np.allclose(call.unary[..., 1], stored / full, atol=1e-7)
    assert np.array_equal(call.unary[..., 0], 1 - call.unary[..., 1])
    with Image.open(tmp_path / "out" / "grey.probs.png") as picture:
        assert picture.mode.startswith("I;16")
        assert np.array_equal(np.array(picture), np.rint(call.result[..., 1] * 65535))
    assert pyseg_cli("crf", tmp_path / "grey.png", "-i", pair[1], "-o", tmp_path / "p.npy").code == 0
    assert np.array_equal(np.load(tmp_path / "p.npy"), calls[1].result[..., 1])


def test_overlay(pyseg_cli, tmp_path, pair, photo, calls):
    assert pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / "o.png", "--write", "overlay").code == 0
    labels = calls[0].result.argmax(-1)
    got = images.read_image(tmp_path / "o.png")
    assert np.array_equal(got, overlay(photo, labels))
    line = (images.mark_contours(photo * 0, labels, (255, 255, 255)) == 255).all(-1)
    assert (got[line] == 255).all()
    colors = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]])[labels]
    assert np.abs(got[~line].astype(int) - (photo.astype(int) + colors)[~line] / 2).max() <= 0.5
    assert pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / "o.jpg").code == 0
    assert images.read_image(tmp_path / "o.jpg").shape == photo.shape


def test_the_palette_is_that_of_pascal_voc():
    colors = palette()
    assert colors.shape == (256, 3)
    assert len(np.unique(colors, axis=0)) == 256
    known = {0: (0, 0, 0), 3: (128, 128, 0), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {number: tuple(map(int, colors[number])) for number in known} == known


@pytest.mark.parametrize("kind", ["npy", "npz", "tif"])
def test_labels_as(pyseg_cli, tmp_path, pair, calls, kind):
    done = pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / f"l.{kind}", "--write", "labels")
    assert done.code == 0
    assert np.array_equal(images.read_labels(tmp_path / f"l.{kind}"), calls[0].result.argmax(-1))
    assert pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / "out", "--labels", kind).code == 0
    assert np.array_equal(images.read_labels(tmp_path / "out" / f"one.labels.{kind}"), calls[1].result.argmax(-1))


def test_more_classes_than_a_palette(pyseg_cli, monkeypatch, tmp_path, photo):
    many = np.zeros((8, 40, 300), np.float32)
    many[np.arange(320) // 40, np.arange(320) % 40, np.minimum(np.arange(320), 299)] = 1
    np.save(tmp_path / "m.npy", many)
    Image.fromarray(photo[:8, :40]).save(tmp_path / "m.png")
    monkeypatch.setattr(pyseg, "dense_crf", lambda unary, image, **options: unary)
    assert pyseg_cli("crf", tmp_path / "m.npy", "-i", tmp_path / "m.png", "-o", tmp_path / "out").code == 0
    labels = images.read_labels(tmp_path / "out" / "m.labels.png")
    assert np.array_equal(labels.ravel(), np.minimum(np.arange(320), 299))


def test_from_labels(pyseg_cli, tmp_path, pair, probs, calls):
    labels = probs.argmax(-1).astype(np.uint8)
    labels[:20] = 255
    Image.fromarray(labels).save(tmp_path / "labels.png")
    command = ["crf", tmp_path / "labels.png", "-i", pair[1], "-o", tmp_path / "l.png", "--from", "labels"]
    assert pyseg_cli(*command, "--unsure", 255, "--certainty", 0.8, "--classes", 5, "--n-iter", 0).code == 0
    (call,) = calls
    assert np.array_equal(call.unary, np.where(labels == 255, -1, labels.astype(int)))
    assert call.result.shape == (128, 160, 5)
    assert np.allclose(call.result[:20], 0.2)
    assert np.allclose(np.take_along_axis(call.result[20:], labels[20:, :, None].astype(int), 2), 0.8)
    assert np.allclose(call.result[20:].min(-1), 0.05)
    assert np.array_equal(images.read_labels(tmp_path / "l.png"), call.result.argmax(-1))
    done = pyseg_cli(*command, "--classes", 3)
    assert "labels must be in 0..2 (--classes), or the one of --unsure, got 255" in done.err


def test_threads(pyseg_cli, tmp_path, pair):
    before = pyseg.get_num_threads()
    try:
        done = pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / "l.png", "--threads", 1)
        assert "(1 thread)" in done.out
        assert pyseg.get_num_threads() == 1
    finally:
        pyseg.set_num_threads(before)


def test_grey_photographs(pyseg_cli, tmp_path, pair, photo, calls):
    Image.fromarray(photo[..., 0]).save(pair[1])
    assert pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / "l.png").code == 0
    assert np.array_equal(calls[0].image, np.repeat(photo[..., :1], 3, axis=2))


# ---- folders


def test_folder(pyseg_cli, tmp_path, folders, files_in, probs, calls):
    done = pyseg_cli("crf", folders[0], "--images", folders[1], "-o", tmp_path / "out", "--write", "both,overlay")
    assert done.code == 1
    endings = ("labels.png", "overlay.png", "probs.npz")
    assert files_in(tmp_path / "out") == [f"{name}.{ending}" for name in "abc" for ending in endings]
    assert done.out == ""
    assert "3 of 4 done in" in done.err
    assert "1/4 " in done.err
    assert re.search(rf"1 bad file:\n  {folders[0]}/e.npy: .+\n$", done.err)
    assert [call.unary.shape[2] for call in calls] == [3, 3, 2]
    assert np.array_equal(calls[0].unary, calls[1].unary)
    for name, shape in (("a", (128, 160, 3)), ("b", (3, 128, 160)), ("c", (128, 160))):
        with np.load(tmp_path / "out" / f"{name}.probs.npz") as got:
            assert got["probs"].shape == shape


def test_recursive_repeats_sub_folders(pyseg_cli, tmp_path, folders, files_in):
    (folders[0] / "e.npy").unlink()
    assert pyseg_cli("crf", folders[0], "-i", folders[1], "-o", tmp_path / "out", "-r").code == 0
    assert files_in(tmp_path / "out") == [f"{name}.labels.png" for name in ("a", "b", "c", "deep/d")]
    deep = pyseg_cli("crf", f"{folders[0]}/**/d.npz", "-i", folders[1], "-o", tmp_path / "deep", "-r")
    assert (deep.code, files_in(tmp_path / "deep")) == (0, ["deep/d.labels.png"])


def test_resume_and_manifest(pyseg_cli, tmp_path, folders, calls):
    (folders[0] / "e.npy").unlink()
    log = tmp_path / "log.jsonl"
    command = ["crf", folders[0], "-i", folders[1], "-o", tmp_path / "out", "--write", "both", "--manifest", log]
    assert pyseg_cli(*command).code == 0
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["source"] for entry in entries] == [str(folders[0] / name) for name in ("a.npz", "b.npy", "c.png")]
    assert [entry["n"] for entry in entries] == [len(np.unique(call.result.argmax(-1))) for call in calls]
    whole = (tmp_path / "out" / "b.probs.npz").read_bytes()
    (tmp_path / "out" / "b.probs.npz").write_bytes(whole[:-9])
    done = pyseg_cli(*command, "--resume")
    assert done.code == 0
    assert "1 of 3 done in" in done.err
    assert "2 already there" in done.err
    assert (tmp_path / "out" / "b.probs.npz").read_bytes() == whole
    assert len(calls) == 4


def test_on_error_stop(pyseg_cli, tmp_path, folders, files_in):
    (folders[0] / "a.npz").write_bytes(b"PK\3\4")
    done = pyseg_cli("crf", folders[0], "-i", folders[1], "-o", tmp_path / "out", "--on-error", "stop")
    assert done.code == 1
    assert files_in(tmp_path / "out") == []
    assert "stopped there; 3 not tried" in done.err


def test_a_second_run_into_the_same_folder_sees_the_same_maps(pyseg_cli, folders, files_in):
    command = ["crf", folders[0], "-i", folders[1], "-o", folders[0], "--write", "both,overlay"]
    assert pyseg_cli(*command).code == 1
    first = files_in(folders[0])
    assert pyseg_cli(*command).code == 1
    assert files_in(folders[0]) == first


def test_quiet(pyseg_cli, tmp_path, pair):
    done = pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / "l.png", "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


# ---- what it is for


def test_noise_goes_and_edges_stay(pyseg_cli, tmp_path, photo):
    truth = np.zeros((96, 128), int)
    truth[20:70, 30:90] = 1
    colors = np.array([[60, 90, 60], [190, 120, 80]])[truth] + np.random.default_rng(1).integers(-12, 13, (96, 128, 3))
    rng = np.random.default_rng(0)
    foreground = np.clip(0.5 + (truth - 0.5) * 0.5 + rng.normal(0, 0.3, truth.shape), 0.01, 0.99)
    np.save(tmp_path / "one.npy", foreground)
    Image.fromarray(colors.astype(np.uint8)).save(tmp_path / "one.png")
    before = np.mean((foreground > 0.5) == truth)
    assert before < 0.85

    def after(*options):
        done = pyseg_cli("crf", *options, "-i", tmp_path / "one.png", "-o", tmp_path / "l.png")
        assert (done.code, done.err) == (0, "")
        return np.mean(images.read_labels(tmp_path / "l.png") == truth)

    assert after(tmp_path / "one.npy") > 0.99
    Image.fromarray((foreground > 0.5).astype(np.uint8)).save(tmp_path / "mask.png")
    assert after(tmp_path / "mask.png", "--from", "labels") > 0.99
