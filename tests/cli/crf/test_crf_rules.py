"""``pyseg crf``: what it refuses, and what it says of bad files."""

import numpy as np
import pytest
from PIL import Image

import pyseg


def test_an_error_of_the_function_is_a_line(pyseg_cli, tmp_path, pair, monkeypatch, files_in):
    def refuses(unary, image, **options):
        raise ValueError("dense_crf: probabilities must be in [0, 1], got 2")

    monkeypatch.setattr(pyseg, "dense_crf", refuses)
    before = files_in(tmp_path)
    done = pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / "l.png")
    assert (done.code, done.out) == (1, "")
    assert f"{pair[0]}: dense_crf: probabilities must be in [0, 1], got 2\n" in done.err
    assert files_in(tmp_path) == before


def test_a_map_of_another_size(pyseg_cli, tmp_path, pair, probs, calls):
    np.save(pair[0], probs[::2, ::2])
    command = ["crf", pair[0], "-i", pair[1], "-o", tmp_path / "l.png"]
    done = pyseg_cli(*command)
    assert (done.code, done.out, calls) == (1, "", [])
    assert "of its image's size (--resize scales it), got 80 x 64 for an image of 160 x 128" in done.err
    assert pyseg_cli(*command, "--resize").code == 0
    assert calls[0].unary.shape == (128, 160, 3)
    assert np.allclose(calls[0].unary.sum(-1), 1, atol=1e-5)


def test_a_photograph_that_is_missing_or_broken(pyseg_cli, tmp_path, folders):
    (folders[1] / "a.jpg").unlink()
    (folders[1] / "b.PNG").write_bytes(b"no picture")
    Image.new("L", (9, 9)).save(folders[1] / "c.png")
    done = pyseg_cli("crf", folders[0], "-i", folders[1], "-o", tmp_path / "out")
    assert done.code == 1
    assert f"  {folders[0]}/a.npz: no picture of this name in {folders[1]}\n" in done.err
    assert f"  {folders[0]}/b.npy: cannot read {folders[1]}/b.PNG: not a JPEG" in done.err
    several = f"{folders[1]}/c.jpg, {folders[1]}/c.png"
    assert f"  {folders[0]}/c.png: which picture is this map's? --images has {several}\n" in done.err


def test_three_classes_do_not_fit_a_grey_picture(pyseg_cli, tmp_path, pair, files_in):
    before = files_in(tmp_path)
    done = pyseg_cli("crf", pair[0], "-i", pair[1], "-o", tmp_path / "p.png", "--write", "probs")
    assert "probabilities of two classes alone fit a .png, got 3 classes" in done.err
    assert files_in(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n-iter", "-1"], "--n-iter must be at least 0, got -1"),
        (["--gaussian-sxy", "0"], "--gaussian-sxy must be above 0, got 0"),
        (["--bilateral-sxy", "nan"], "--bilateral-sxy must be above 0, got nan"),
        (["--bilateral-srgb", "-3"], "--bilateral-srgb must be above 0, got -3"),
        (["--gaussian-weight", "-1"], "--gaussian-weight must be at least 0, got -1"),
        (["--bilateral-weight", "inf"], "--bilateral-weight must be at least 0, got inf"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
        (["--from", "guess"], "'guess' is not one of 'probs', 'logits', 'energy', 'labels'"),
        (["--normalization", "no"], "'no' is not one of 'symmetric', 'before', 'after', 'none'"),
        (["--storage", "int8"], "'int8' is not one of 'float32', 'float16'"),
        (["--channel-axis", "1"], "--channel-axis must be 0 or -1, got 1"),
        (["--channel-axis", "0", "--from", "labels"], "--channel-axis is not for --from labels, got 0"),
        (["--unsure", "255"], "--unsure is for --from labels, got --from probs"),
        (["--classes", "1", "--from", "labels"], "--classes must be at least 2, got 1"),
        (["--certainty", "1", "--from", "labels"], "--certainty must be above 0 and below 1, got 1"),
        (["--certainty", "nan", "--from", "labels"], "--certainty must be above 0 and below 1, got nan"),
        (["--write", "labels,mask"], "--write must be some of labels, probs, both, overlay, got mask"),
        (["--write", ","], "--write must be some of labels, probs, both, overlay, got ','"),
        (["--write", "both"], "-o must be a folder for --write labels,probs, got {out}, which holds one of labels or"),
        (["-o", "{out}.jpg", "--write", "probs"], "which holds one of overlay"),
        (["-o", "{out}.npy", "--write", "labels", "--labels", "npz"], "for --write labels and --labels npz, got"),
        (["-o", "{folder}", "--probs", "npy"], "--probs says as what to write probs, got --probs npy without --write"),
        (["-o", "/dev/null"], "-o must be a folder or a file of a known ending, got /dev/null"),
        (["-o", "{photo}"], "an output must not replace a source, got {photo}"),
        (["-o", "{map}"], "an output must not replace a source, got {map}"),
        (["--manifest", "{photo}"], "an output must not replace a source, got {photo}"),
        (["-i", "{folder}/nowhere"], "--images must be a folder or a picture, and there is no {folder}/nowhere"),
    ],
)
def test_a_wrong_argument_is_one_line(pyseg_cli, tmp_path, pair, files_in, options, message):
    places = {"out": tmp_path / "out.png", "folder": tmp_path, "map": pair[0], "photo": pair[1]}
    before = files_in(tmp_path)
    told = [option.format(**places) for option in options]
    done = pyseg_cli("crf", pair[0], "-i", pair[1], "-o", places["out"], *told)
    assert (done.code, done.out) == (2, "")
    assert message.format(**places) in done.err
    assert done.err.count("\n") == 1
    assert files_in(tmp_path) == before


def test_wrong_sources(pyseg_cli, tmp_path, folders):
    def why(*arguments):
        done = pyseg_cli("crf", *arguments)
        assert (done.code, done.err.count("\n")) == (2, 1)
        return done.err

    maps, photos = folders
    out = ["-o", tmp_path / "out"]
    assert "and there is no nowhere" in why("nowhere", "-i", photos, *out)
    (tmp_path / "empty").mkdir()
    assert f"no map found in {tmp_path}/empty (--recursive" in why(tmp_path / "empty", "-i", photos, *out)
    assert f"no picture found in {tmp_path}/empty (--recursive" in why(maps, "-i", tmp_path / "empty", *out)
    assert "--images must be a folder where MAP is not one file" in why(maps, "-i", photos / "a.jpg", *out)
    assert "-o must be a folder where MAP is not one file" in why(maps, "-i", photos, "-o", tmp_path / "a.png")
    assert "Missing option '--images'" in why(maps, *out)
    assert not (tmp_path / "out").exists()
