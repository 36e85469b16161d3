"""The command line as a whole: help, version, info, bench, and what it imports."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import pyseg
from pyseg.cli.bench import Op, _suite


def test_version(pyseg_cli):
    done = pyseg_cli("--version")
    assert (done.code, done.out) == (0, f"pyseg {pyseg.__version__}\n")


def test_help_names_the_commands(pyseg_cli):
    for arguments in ([], ["--help"], ["-h"]):
        done = pyseg_cli(*arguments)
        assert done.code == 0
        assert all(name in done.out for name in ("superpixels", "compare", "crf", "info", "bench", "--version"))


@pytest.mark.parametrize(
    ("command", "examples"),
    [
        ("superpixels", ["pyseg superpixels photo.jpg -o contours.png", "pyseg superpixels photos/ -o out/ -k 500"]),
        ("compare", ["pyseg compare photo.jpg --truth anna.png --truth ben.png --threads 1"]),
        ("crf", ["pyseg crf probs/ --images photos/ -o refined/"]),
        ("info", ["pyseg info --json > pyseg-info.json"]),
        ("bench", ["pyseg bench slic --quick --threads 1"]),
    ],
)
def test_help_has_examples(pyseg_cli, command, examples):
    done = pyseg_cli(command, "--help")
    assert done.code == 0
    assert "Examples" in done.out
    assert all(example in done.out for example in examples)


def test_an_unknown_command(pyseg_cli):
    done = pyseg_cli("frobnicate")
    assert (done.code, done.out) == (2, "")
    assert done.err == "pyseg: No such command 'frobnicate'.\n"


def test_info_json(pyseg_cli):
    done = pyseg_cli("info", "--json")
    assert done.code == 0
    assert json.loads(done.out) == json.loads(json.dumps(pyseg.info()))


def test_info_shows_every_value(pyseg_cli):
    def leaves(known):
        for value in known.values():
            yield from leaves(value) if isinstance(value, dict) else [value]

    done = pyseg_cli("info")
    assert done.code == 0
    assert all(str(value) in done.out for value in leaves(pyseg.info()) if isinstance(value, str))
    assert all(str(name) in done.out for name in pyseg.info())


def test_bench_quick(pyseg_cli, tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "photo.png")
    before = pyseg.get_num_threads()
    try:
        done = pyseg_cli(
            "bench", "slic", "--quick", "--image", tmp_path / "photo.png", "--segments", 50, "--threads", 1,
            "--json", tmp_path / "slic.json",
        )  # fmt: skip
    finally:
        pyseg.set_num_threads(before)
    assert done.code == 0
    assert "pyseg.slic" in done.out
    assert "skimage.segmentation.slic" in done.out
    assert f"pyseg {pyseg.__version__}" in done.out
    got = json.loads((tmp_path / "slic.json").read_text())
    assert (got["width"], got["height"], got["threads"], got["rounds"]) == (160, 128, 1, 5)
    rows = {row["name"]: row for row in got["rows"]}
    assert rows["pyseg.slic"]["ratio"] == 1
    assert rows["pyseg.slic"]["superpixels"] == len(np.unique(pyseg.slic(photo, n_segments=50)))
    assert rows["skimage.segmentation.slic"]["median_ms"] > 0
    assert set(rows) | set(got["missing"]) == {
        "pyseg.slic", "skimage.segmentation.slic", "fast_slic SlicAvx2", "cv2.ximgproc SLIC", "cv2.ximgproc SEEDS",
    }  # fmt: skip


def test_bench_on_a_grey_picture(pyseg_cli, tmp_path, photo):
    Image.fromarray(photo[..., 0]).save(tmp_path / "grey.png")
    assert pyseg_cli("bench", "slic", "--quick", "--image", tmp_path / "grey.png").code == 0


def test_bench_rules(pyseg_cli, tmp_path):
    assert "'snake' is not one of 'slic'" in pyseg_cli("bench", "snake").err
    assert "--segments must be at least 1, got 0" in pyseg_cli("bench", "slic", "--segments", 0).err
    done = pyseg_cli("bench", "slic", "--image", tmp_path / "absent.png")
    assert (done.code, done.err) == (2, f"pyseg: cannot read {tmp_path}/absent.png: no such file\n")


def test_bench_outside_of_a_source_tree_says_where_the_suite_is(tmp_path, monkeypatch):
    monkeypatch.setattr(pyseg, "__file__", str(tmp_path / "pyseg" / "__init__.py"))
    assert "the full suite is in pyseg's source tree" in _suite(Op.SLIC)
    suite = tmp_path / "benchmarks" / "ops" / "test_slic.py"
    suite.parent.mkdir(parents=True)
    suite.touch()
    got = _suite(Op.SLIC)
    assert got == suite or str(got).endswith("pip install pytest pytest-benchmark")


def test_import_is_light():
    code = (
        "import sys, pyseg\n"
        "heavy = {'typer', 'rich', 'PIL', 'torch', 'skimage', 'cv2', 'pydantic'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_installed_script(start_cli):
    process = start_cli("--version")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, f"pyseg {pyseg.__version__}\n", "")


@pytest.mark.parametrize("name", ["typer", "PIL"])
def test_without_a_library_it_says_what_to_install(tmp_path, name):
    code = f"import sys; sys.modules[{name!r}] = None; from pyseg.cli import main; main()"
    command = [sys.executable, "-c", code, "bench", "slic", "--image", tmp_path / "a.png"]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("pyseg: the command line needs typer, rich and pillow (")
    assert done.stderr.endswith("pip install 'pyseg[cli]'\n")
    assert done.stderr.count("\n") == 1
