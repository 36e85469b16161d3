"""Maps from files, and their photographs: every layout, every kind, and what is refused."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyseg import ImageReadError
from pyseg.cli.errors import Refused
from pyseg.cli.maps import Kind, Layout, MapOptions, read_map
from pyseg.cli.pairs import Photographs
from pyseg.cli.sources import Source

SIZE = (6, 9)


def values(*shape, dtype=np.float32):
    return np.random.default_rng(0).random(shape).astype(dtype)


@pytest.fixture
def read(tmp_path):
    """read(array or {key: array}, size, **options): what comes back through a file."""

    def call(array, size=SIZE, **options):
        path = tmp_path / "map"  # the content decides, not the name
        with open(path, "wb") as file:
            if isinstance(array, dict):
                np.savez_compressed(file, **array)
            elif isinstance(array, Image.Image):
                array.save(file, options.pop("format", "PNG"))
            else:
                np.save(file, array)
        return read_map(path, MapOptions(**options), size)

    return call


# ---- layouts


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", ">f8"])
@pytest.mark.parametrize("kind", [Kind.PROBS, Kind.LOGITS, Kind.ENERGY])
def test_classes_last_and_first(read, dtype, kind):
    array = values(6, 9, 4).astype(dtype)
    got = read(array, kind=kind)
    assert (got.says, got.layout) == ({"unary_from": kind.value}, Layout.LAST)
    assert got.values.dtype == np.float32
    assert got.values.flags.c_contiguous
    assert np.array_equal(got.values, array.astype(np.float32))
    for moved in (
        np.moveaxis(array, -1, 0),
        np.asfortranarray(np.moveaxis(array, -1, 0)),
        array.transpose(2, 0, 1)[None],
    ):
        first = read(moved, kind=kind)
        assert first.layout is Layout.FIRST
        assert np.array_equal(first.values, got.values)


def test_where_both_ends_fit_the_axis_decides(read):
    array = values(6, 6, 6)
    assert np.array_equal(read(array, (6, 6)).values, array)
    assert np.array_equal(read(array, (6, 6), channel_axis=0).values, np.moveaxis(array, 0, -1))
    assert np.array_equal(read(array, (6, 6), channel_axis=-1).values, array)
    assert np.array_equal(read(array, (6, 6), channel_axis=2).values, array)


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 1), (1, 6, 9), (1, 1, 6, 9)])
def test_a_single_channel_is_the_second_of_two_classes(read, shape):
    array = values(*shape)
    flat = array.reshape(6, 9)
    got = read(array)
    assert got.layout is Layout.FOREGROUND
    assert np.array_equal(got.values, np.stack([1 - flat, flat], -1))
    logits = read(array, kind=Kind.LOGITS)
    assert np.array_equal(logits.values, np.stack([0 * flat, flat], -1))
    with pytest.raises(ValueError, match="energies must be of two classes at least"):
        read(array, kind=Kind.ENERGY)


def test_pictures(read):
    grey = np.arange(54, dtype=np.uint8).reshape(SIZE) * 4
    for picture, full in ((grey, 255), (grey.astype(np.uint16) * 257, 65535)):
        got = read(Image.fromarray(picture))
        assert got.layout is Layout.FOREGROUND
        assert np.array_equal(got.values[..., 1], picture.astype(np.float32) / np.float32(full))
    assert read(Image.fromarray(np.full(SIZE, 255, np.uint8))).values.max() == 1
    bits = read(Image.fromarray(grey > 99))
    assert np.array_equal(bits.values[..., 1], grey > 99)
    floats = values(6, 9)
    assert np.array_equal(read(Image.fromarray(floats), format="TIFF").values[..., 1], floats)
    assert read(Image.fromarray(floats * 9), format="TIFF", kind=Kind.LOGITS).values.max() > 1


def test_keys(read):
    one, two = values(6, 9, 3), values(6, 9, 4)
    assert read({"anything": one}).values.shape[2] == 3
    assert read({"a": one, "probs": two}).values.shape[2] == 4
    assert read({"logits": one, "probs": two}, kind=Kind.LOGITS).values.shape[2] == 3
    assert read({"a": one, "b": two}, key="b").values.shape[2] == 4
    with pytest.raises(ImageReadError, match="must hold one array, or a key that says which, got a, b"):
        read({"a": one, "b": two})
    with pytest.raises(ImageReadError, match="must hold c, got a, b"):
        read({"a": one, "b": two}, key="c")
    with pytest.raises(ImageReadError, match="got none"):
        read({})


# ---- sizes


@pytest.mark.parametrize("size", [(12, 27), (11, 13), (6, 10), (7, 9)])
def test_resize_is_bilinear(read, size):
    torch = pytest.importorskip("torch")
    array = values(6, 9, 3)
    want = torch.nn.functional.interpolate(
        torch.from_numpy(array).permute(2, 0, 1)[None], size, mode="bilinear", align_corners=False
    )
    got = read(array, size, resize=True)
    assert np.allclose(got.values, want[0].permute(1, 2, 0).numpy(), atol=1e-6)
    assert np.array_equal(read(np.moveaxis(array, -1, 0), size, resize=True).values, got.values)
    assert np.array_equal(read(array[..., 1], size, resize=True).values[..., 1], got.values[..., 1])


def test_resize_keeps_probabilities_in_range(read):
    sure = np.zeros((40, 50, 2), np.float32)
    sure[..., 1] = 1
    for size in ((33, 77), (7, 9), (160, 200)):
        got = read(sure, size, resize=True).values
        assert np.array_equal(got[..., 1], np.ones(size))
        assert not got[..., 0].any()


def test_resize_of_labels_takes_the_nearest(read):
    labels = np.arange(12).reshape(3, 4)
    got = read(labels, (6, 8), kind=Kind.LABELS, resize=True)
    assert np.array_equal(got.values, labels.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(("shape", "layout"), [((3, 12, 18), Layout.FIRST), ((12, 18, 3), Layout.LAST)])
def test_the_shortest_axis_holds_the_classes_of_another_size(read, shape, layout):
    assert read(values(*shape), resize=True).layout is layout
    with pytest.raises(ValueError, match="got 18 x 12 for an image of 9 x 6"):
        read(values(*shape))


@pytest.mark.parametrize("shape", [(12, 12, 12), (12, 3, 18), (8, 12, 8)])
def test_where_nothing_tells_the_classes_it_asks(read, shape):
    with pytest.raises(ValueError, match=r"--channel-axis must say where \[.+\] has its classes"):
        read(values(*shape), resize=True)
    assert read(values(*shape), resize=True, channel_axis=0).values.shape == (6, 9, shape[0])


# ---- labels


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">i4", "int64", "uint64", "bool"])
def test_labels(read, dtype):
    labels = (np.arange(54).reshape(SIZE) % 2).astype(dtype)
    for stored in (labels, {"labels": labels, "b": labels[:1]}, labels[None]):
        got = read(stored, kind=Kind.LABELS)
        assert got.says == {"unary_from": "labels", "n_classes": 2, "gt_prob": 0.7}
        assert got.values.dtype == np.int32
        assert np.array_equal(got.values, labels)
    says = read(labels, kind=Kind.LABELS, classes=4, certainty=0.4).says
    assert says == {"unary_from": "labels", "n_classes": 4, "gt_prob": 0.4}
    assert read(labels * 0, kind=Kind.LABELS).says["n_classes"] == 2


def test_unsure_labels_are_negative(read):
    labels = np.arange(54).reshape(SIZE) % 3 + 253
    got = read(labels, kind=Kind.LABELS, unsure=255)
    assert got.says["n_classes"] == 255
    assert np.array_equal(got.values, np.where(labels == 255, -1, labels))
    nothing = read(labels * 0 - 7, kind=Kind.LABELS, unsure=-7)
    assert (nothing.values == -1).all()
    assert nothing.says["n_classes"] == 2


def test_palette_pictures_are_labels(read):
    picture = Image.fromarray((np.arange(54, dtype=np.uint8) % 5).reshape(SIZE))
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    assert read(picture, kind=Kind.LABELS).values.max() == 4
    with pytest.raises(ImageReadError, match="a picture with a palette holds labels: --from labels"):
        read(picture)


# ---- what is refused


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (values(9), {}, r"a map must be \[H, W, K\], \[K, H, W\] or \[H, W\], got \[9\]"),
        (values(2, 2, 6, 9), {}, r"got \[2, 2, 6, 9\]"),
        (values(0, 9, 3), {}, r"got \[0, 9, 3\]"),
        (values(6, 9, 3) > 0.5, {}, "probs must be floats .+, got bool"),
        (values(6, 9, 3).astype(np.uint8), {}, "probs must be floats .+, got uint8"),
        (values(6, 9, 3).astype(complex), {"kind": Kind.LOGITS}, "logits must be numbers, got complex128"),
        (np.full((6, 9, 3), "a"), {"kind": Kind.ENERGY}, "energy must be numbers, got <U1"),
        (values(6, 9), {"kind": Kind.LABELS}, r"labels must be integers \[H, W\], got float32 \[6, 9\]"),
        (values(6, 9, 2).astype(int), {"kind": Kind.LABELS}, r"got int64 \[6, 9, 2\]"),
        (np.full(SIZE, -1), {"kind": Kind.LABELS}, "labels must be at least 0, or the one of --unsure, got -1"),
        (np.full(SIZE, 4), {"kind": Kind.LABELS, "classes": 4}, r"labels must be in 0\.\.3 \(--classes\), .+, got 4"),
        (np.full(SIZE, 2**63 - 1), {"kind": Kind.LABELS}, "pixels x classes must be at most"),
        (np.full(SIZE, 2**64 - 1, np.uint64), {"kind": Kind.LABELS}, "pixels x classes must be at most"),
        (np.array([None, 1]), {}, "Object arrays cannot be loaded"),
        (Image.new("RGB", (9, 6)), {}, "a probability map is 8- or 16-bit grey, this picture is RGB"),
        (Image.new("L", (9, 6)), {"kind": Kind.LOGITS}, "a picture of integers holds probabilities or labels"),
        (Image.new("L", (9, 6)), {"kind": Kind.ENERGY}, "not --from energy"),
    ],
)
def test_refused(read, array, options, message):
    with pytest.raises((ValueError, ImageReadError), match=message):
        read(array, **options)


@pytest.mark.parametrize("cut", [0, 5, 60, 130, -1])
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_cut_files(tmp_path, cut, kind):
    path = tmp_path / f"a.{kind}"
    np.save(path, values(6, 9, 3)) if kind == "npy" else np.savez(path, probs=values(6, 9, 3))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ImageReadError):
        read_map(path, MapOptions(), SIZE)


def test_a_claim_of_terabytes_is_not_believed(tmp_path):
    """160 bytes of header, in an .npz too, where the size of the file says nothing."""
    header = b"\x93NUMPY\1\0v\0{'descr': '<f8', 'fortran_order': False, 'shape': (90000, 90000, 99), }"
    header = header.ljust(127) + b"\n"
    (tmp_path / "a.npy").write_bytes(header)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("probs.npy", header)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ImageReadError, match=r"\[90000, 90000, 99\] values are more than the limit of 1073741824"):
            read_map(tmp_path / name, MapOptions(), SIZE)


# ---- photographs


@pytest.fixture
def photographs(tmp_path):
    for name in ("a.jpg", "b.c.png", "deep/a.png", "two.jpg", "two.png", "x.y.tif", "x.bmp", ".hidden.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("a.npz", "a.jpg"),
        ("a.probs.npz", "a.jpg"),
        ("a.probs.v2.npy", "a.jpg"),
        ("b.c.npz", "b.c.png"),
        ("x.y.npz", "x.y.tif"),
        ("x.z.npz", "x.bmp"),
        ("deep/a.npz", "deep/a.png"),
        ("b.npz", "no picture of this name in {}"),
        ("other/a.npz", "no picture of this name in {}"),
        ("A.npz", "no picture of this name in {}"),
        (".hidden.npz", "no picture of this name in {}"),
        ("two.npz", "which picture is this map's? --images has {0}/two.jpg, {0}/two.png"),
    ],
)
def test_the_photograph_of_a_map(photographs, name, want):
    got = Photographs(photographs, recursive=True).of(Source(Path("maps", name), Path(name)))
    assert got == (want.format(photographs) if " " in want else photographs / want)


def test_a_map_is_not_its_own_photograph(photographs):
    found = Photographs(photographs, recursive=False)
    assert found.of(Source(photographs / "two.png", Path("two.png"))) == photographs / "two.jpg"
    alone = found.of(Source(photographs / "a.jpg", Path("a.jpg")))
    assert alone == f"no picture of this name in {photographs}"
    assert isinstance(found.of(Source(Path("deep/a.npz"), Path("deep/a.npz"))), str)  # not searched to the bottom


def test_one_photograph_or_none(photographs):
    one = Photographs(photographs / "a.jpg", recursive=False)
    assert one.is_file
    assert one.of(Source(Path("whatever.npz"), Path("whatever.npz"))) == photographs / "a.jpg"
    with pytest.raises(Refused, match=r"there is no .+/nowhere"):
        Photographs(photographs / "nowhere", recursive=False)
