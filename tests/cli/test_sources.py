"""SOURCE to files, and files to names."""

from pathlib import Path

import pytest

from pyseg.cli.errors import Refused
from pyseg.cli.sources import Source, expand, output_names


def names(*paths):
    return [str(name) for name in output_names([Source(Path("/root", path), Path(path)) for path in paths])]


@pytest.mark.parametrize(
    ("given", "want"),
    [
        (["a.png", "b.jpg"], ["a", "b"]),
        (["a.png", "a.jpg", "b.jpg"], ["a.png", "a.jpg", "b"]),
        (["a.png", "A.jpg"], ["a.png", "A.jpg"]),  # one file where the file system folds case
        (["x/a.png", "y/a.png", "y/a.jpg"], ["x/a", "y/a.png", "y/a.jpg"]),
        (["a.png", "a.jpg", "a.png.tif"], ["a.png", "a.jpg", "a.png.tif"]),  # the full name of one, the stem of another
        (["a.b.png", "a.c.png", "noending"], ["a.b", "a.c", "noending"]),
    ],
)
def test_names(given, want):
    assert names(*given) == want


def test_files_of_one_name_from_different_folders():
    paths = [Path("/r/x/0.png"), Path("/r/y/z/0.png"), Path("/q/1.png")]
    assert output_names([Source(path, Path(path.name)) for path in paths]) == [Path("x/0"), Path("y/z/0"), Path("1")]


def test_order_and_doubles(tmp_path):
    for name in ("b.png", "a.png", "c.dat", "d/e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def found(*sources, recursive=False):
        return [str(s.path.relative_to(tmp_path)) for s in expand(sources, recursive=recursive, out=tmp_path / "out")]

    assert found(str(tmp_path)) == ["a.png", "b.png"]
    assert found(str(tmp_path), recursive=True) == ["a.png", "b.png", "d/e.png"]
    assert found(str(tmp_path / "b.png"), str(tmp_path)) == ["b.png", "a.png"]
    assert found(str(tmp_path / "c.dat")) == ["c.dat"]  # a file is taken whatever its ending
    assert found(f"{tmp_path}/*") == ["a.png", "b.png"]
    assert found(f"{tmp_path}/*.dat") == ["c.dat"]
    assert found(f"{tmp_path}/**/*.png") == ["a.png", "b.png", "d/e.png"]
    with pytest.raises(Refused, match="there is no nowhere"):
        found("nowhere")


def test_own_outputs_are_left_out_of_out_only(tmp_path):
    for name in ("a.png", "a.mean.png", "out/a.mean.png", "out/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = expand([str(tmp_path)], recursive=True, out=tmp_path / "out", made=(".mean.png",))
    assert [str(source.name) for source in found] == ["a.mean.png", "a.png", "out/b.png"]
