"""What all commands over files share: bad files, resume, manifest, progress, Ctrl-C."""

import contextlib
import errno
import json
import os
import pty
import signal
import struct
import time

import numpy as np
import pytest
from PIL import Image

from pyseg import images
from pyseg.cli.run import Item, RunOptions, run


def entries(path):
    return {os.path.basename(entry["source"]): entry for entry in map(json.loads, path.read_text().splitlines())}


def test_on_error_stop(pyseg_cli, tmp_path, photos, files_in):
    done = pyseg_cli("superpixels", photos, "-o", tmp_path / "out", "--draw", "none", "--on-error", "stop")
    assert done.code == 1
    assert files_in(tmp_path / "out") == ["a.labels.png", "b.labels.png"]  # broken.jpg comes third
    assert "1 bad file:" in done.err
    assert "stopped there; 1 not tried" in done.err


def test_every_bad_file_is_listed(pyseg_cli, tmp_path, photos):
    (photos / "empty.png").touch()
    done = pyseg_cli("superpixels", photos, "-o", tmp_path / "out")
    assert done.code == 1
    assert "2 bad files:\n" in done.err
    assert f"  {photos}/empty.png: the file is empty\n" in done.err


def test_an_output_that_cannot_be_written_is_a_bad_file(pyseg_cli, tmp_path, photos, files_in):
    long = "n" * 249 + ".png"  # the longest name, and none is left for .contours
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(photos / long)
    done = pyseg_cli("superpixels", photos, "-o", tmp_path / "out", "--labels", "none")
    assert done.code == 1
    assert "2 bad files:" in done.err
    assert "File name too long" in done.err
    assert len(files_in(tmp_path / "out")) == 3


def test_a_full_disk_ends_the_run(tmp_path, capsys):
    def work(item):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(item.outputs[0]))

    items = [Item(tmp_path / f"{i}.png", (tmp_path / f"{i}.npy",)) for i in range(3)]
    assert run(items, work, RunOptions()) == 1
    said = capsys.readouterr().err
    assert "1 bad file:" in said
    assert "No space left on device" in said
    assert "stopped there; 2 not tried" in said


def test_an_error_that_nobody_foresaw_is_named(tmp_path, capsys):
    def work(item):
        raise ZeroDivisionError("division by\nzero")

    assert run([Item(tmp_path / "0.png", (tmp_path / "0.npy",))], work, RunOptions()) == 1
    assert "0.png: ZeroDivisionError: division by zero\n" in capsys.readouterr().err


def test_resume_skips_what_is_whole_and_no_more(pyseg_cli, tmp_path, photos):
    (photos / "broken.jpg").unlink()
    out = tmp_path / "out"
    pyseg_cli("superpixels", photos, "-o", out, "--labels", "npy")
    (out / "a.labels.npy").unlink()
    whole = (out / "b.labels.npy").read_bytes()
    (out / "b.labels.npy").write_bytes(whole[:-4])
    os.utime(out / "c.labels.npy", (1, 1))
    done = pyseg_cli("superpixels", photos, "-o", out, "--labels", "npy", "--resume")
    assert done.code == 0
    assert "2 of 3 done in" in done.err
    assert "1 already there" in done.err
    assert (out / "a.labels.npy").is_file()
    assert (out / "b.labels.npy").read_bytes() == whole
    assert (out / "c.labels.npy").stat().st_mtime == 1


@pytest.mark.parametrize("kind", ["png", "npy", "npz", "tif"])
def test_a_cut_label_map_is_not_whole(pyseg_cli, tmp_path, photos, kind):
    command = ["superpixels", photos / "a.jpg", "-o", tmp_path / "out", "--labels", kind, "--resume"]
    pyseg_cli(*command)
    path = tmp_path / "out" / f"a.labels.{kind}"
    whole = path.read_bytes()
    assert "1 already there" in pyseg_cli(*command).err
    for keep in (0, 1, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        assert "superpixels in" in pyseg_cli(*command).out
        assert path.read_bytes() == whole


def test_a_bad_file_does_not_stay_bad(pyseg_cli, tmp_path, photos):
    command = ["superpixels", photos, "-o", tmp_path / "out", "--resume", "--manifest", tmp_path / "log.jsonl"]
    assert pyseg_cli(*command).code == 1
    (photos / "broken.jpg").write_bytes((photos / "a.jpg").read_bytes())
    assert pyseg_cli(*command).code == 0
    assert entries(tmp_path / "log.jsonl")["broken.jpg"]["error"] is None


def test_manifest(pyseg_cli, tmp_path, photos):
    log = tmp_path / "deep" / "log.jsonl"
    pyseg_cli("superpixels", photos, "-o", tmp_path / "out", "--manifest", log)
    got = entries(log)
    assert list(got) == ["a.jpg", "b.PNG", "broken.jpg", "c.tif"]
    out = tmp_path / "out"
    labels = images.read_labels(out / "a.labels.png")
    assert got["a.jpg"] == {
        "source": str(photos / "a.jpg"),
        "outputs": [str(out / "a.contours.png"), str(out / "a.labels.png")],
        "seconds": got["a.jpg"]["seconds"],
        "n": len(np.unique(labels)),
        "error": None,
        "skipped": False,
    }
    assert 0 < got["a.jpg"]["seconds"] < 60
    assert got["broken.jpg"]["error"].startswith("truncated, corrupt or unsupported JPEG")
    assert got["broken.jpg"]["outputs"] == []
    assert got["broken.jpg"]["n"] is None


def test_a_resumed_manifest_keeps_what_it_knew(pyseg_cli, tmp_path, photos):
    log = tmp_path / "log.jsonl"
    command = ["superpixels", photos, "-o", tmp_path / "out", "--manifest", log, "--resume"]
    pyseg_cli(*command)
    before = entries(log)
    log.write_text(log.read_text() + '{"source": "killed while it wr')
    pyseg_cli(*command)
    after = entries(log)
    assert list(after) == list(before)
    assert after["a.jpg"] == before["a.jpg"] | {"skipped": True}


def test_a_manifest_that_cannot_be_written(pyseg_cli, tmp_path, photos):
    (tmp_path / "file").touch()
    done = pyseg_cli("superpixels", photos, "-o", tmp_path / "out", "--manifest", tmp_path / "file" / "log")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_decoders_warnings_are_lines(pyseg_cli, tmp_path, photo):
    source = tmp_path / "a.tif"
    Image.fromarray(photo).save(source, tiffinfo={296: 2})
    data = source.read_bytes()
    at = data.index(struct.pack("<HHI", 296, 3, 1)) + 4  # the unit of the resolution: now two units
    source.write_bytes(data[:at] + struct.pack("<I", 2) + data[at + 4 :])
    done = pyseg_cli("superpixels", source, "-o", tmp_path / "a.png")
    assert done.code == 0
    assert done.err.startswith(f"warning: {source}: ")
    assert done.err.count("\n") == 1


def test_progress_lines_where_there_is_no_terminal(pyseg_cli, tmp_path, photos):
    done = pyseg_cli("superpixels", photos, "-o", tmp_path / "out")
    assert "1/4 " in done.err
    assert " files/s, 0:00:0" in done.err


def test_progress_bar_on_a_terminal(start_cli, tmp_path, photos):
    ours, theirs = pty.openpty()
    process = start_cli("superpixels", photos, "-o", tmp_path / "out", stderr=theirs, TERM="xterm")
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # what Linux answers once the other end is closed
        while part := os.read(ours, 65536):
            said += part
    os.close(ours)
    assert process.wait(60) == 1
    assert b"files/s" in said
    assert b"4/4" in said
    assert b"1 bad file:" in said


@pytest.fixture
def many(tmp_path, photo):
    """Sixty pictures: more than are done before the signal arrives."""
    folder = tmp_path / "many"
    folder.mkdir()
    Image.fromarray(np.tile(photo, (2, 2, 1))).save(folder / "000.png")
    for i in range(1, 60):
        os.link(folder / "000.png", folder / f"{i:03}.png")
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_only_whole_files(start_cli, pyseg_cli, tmp_path, many, number, code):
    out, log = tmp_path / "out", tmp_path / "log.jsonl"
    command = ["superpixels", many, "-o", out, "--labels", "npz", "--draw", "both", "--manifest", log]
    process = start_cli(*command)
    until = time.monotonic() + 60
    while not (out / "004.labels.npz").exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.002)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    left = sorted(os.listdir(out))
    assert 15 <= len(left) < 180
    assert all(name.endswith((".contours.png", ".mean.png", ".labels.npz")) for name in left)  # no hidden temporary
    for name in left:
        (images.read_labels if name.endswith("npz") else images.read_image)(out / name)
    done = len(log.read_text().splitlines())
    assert 4 <= done < 60  # the signal may come between the fifth's files and its line
    if number == signal.SIGINT:
        assert f"interrupted: {done} of 60 done; the same command with --resume goes on from here" in err
        assert pyseg_cli(*command, "--resume").code == 0
        assert len(os.listdir(out)) == 180
        assert all(entry["n"] for entry in entries(log).values())
        assert len(entries(log)) == 60
