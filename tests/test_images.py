"""Pictures and label maps from and to files: every kind of pixel, every way of being broken."""

import io
import os
import pickle
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from pyseg import images
from pyseg.errors import ImageReadError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (6, 9), dtype=np.uint16)


def save(path, array_or_image, **options):
    image = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    image.save(path, **options)
    return path


def reason(path, **options):
    with pytest.raises(ImageReadError) as caught:
        images.read_image(path, **options)
    assert str(caught.value) == f"cannot read {path}: {caught.value.reason}"
    assert caught.value.path == path
    assert "\n" not in caught.value.reason
    return caught.value.reason


# ---- reading


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm"])
def test_lossless_colour_is_exact(tmp_path, name):
    got = images.read_image(save(tmp_path / name, RGB))
    assert got.dtype == np.uint8
    assert np.array_equal(got, RGB)
    assert got.flags.c_contiguous
    assert got.flags.writeable


def test_lossless_webp_and_gif(tmp_path):
    assert np.array_equal(images.read_image(save(tmp_path / "a.webp", RGB, lossless=True)), RGB)
    first, second = Image.new("P", (9, 6), 1), Image.new("P", (9, 6), 0)
    for frame in (first, second):
        frame.putpalette([10, 20, 30, 200, 100, 50])
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert (images.read_image(tmp_path / "a.gif") == (200, 100, 50)).all()


def test_jpeg_by_content_under_any_name(tmp_path):
    save(tmp_path / "a.jpg", np.full((6, 9, 3), 77, np.uint8))
    (tmp_path / "a.jpg").rename(tmp_path / "a.png")
    got = images.read_image(tmp_path / "a.png")
    assert got.shape == (6, 9, 3)
    assert abs(got.astype(int) - 77).max() <= 1


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm", "a.bmp"])
def test_grey_stays_two_dimensional(tmp_path, name):
    got = images.read_image(save(tmp_path / name, GREY))
    assert got.dtype == np.uint8
    assert np.array_equal(got, GREY)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bit_grey_keeps_its_bits(tmp_path, name):
    got = images.read_image(save(tmp_path / name, GREY16))
    assert got.dtype == np.uint16
    assert np.array_equal(got, GREY16)


def test_big_endian_16_bit_tiff(tmp_path):
    tags = {256: 9, 257: 6, 258: 16, 259: 1, 262: 1, 273: 134, 277: 1, 278: 6, 279: 108}
    fields = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"MM\0*" + struct.pack(">IH", 8, len(tags)) + fields + struct.pack(">I", 0)
    (tmp_path / "a.tif").write_bytes(head.ljust(134, b"\0") + GREY16.astype(">u2").tobytes())
    got = images.read_image(tmp_path / "a.tif")
    assert got.dtype == np.dtype("=u2")
    assert np.array_equal(got, GREY16)


def test_one_bit(tmp_path):
    bits = GREY > 127
    got = images.read_image(save(tmp_path / "a.png", Image.fromarray(bits)))
    assert np.array_equal(got, np.where(bits, 255, 0))


def test_palette_becomes_rgb(tmp_path):
    image = Image.fromarray(GREY % 3, "L").convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    got = images.read_image(save(tmp_path / "a.png", image))
    assert np.array_equal(got, (np.eye(3) * 255).astype(np.uint8)[GREY % 3])


def test_alpha_is_laid_on_white(tmp_path):
    rgba = np.dstack([RGB, np.full(GREY.shape, 255, np.uint8)])
    rgba[0, 0] = (10, 20, 30, 0)
    want = RGB.copy()
    want[0, 0] = 255
    assert np.array_equal(images.read_image(save(tmp_path / "a.png", rgba)), want)
    grey_alpha = Image.fromarray(np.dstack([GREY, rgba[..., 3]]), "LA")
    want = GREY.copy()
    want[0, 0] = 255
    assert np.array_equal(images.read_image(save(tmp_path / "b.png", grey_alpha)), want)


def test_transparent_palette_entry(tmp_path):
    image = Image.new("P", (9, 6), 1)
    image.putpalette([1, 2, 3, 4, 5, 6])
    assert (images.read_image(save(tmp_path / "a.png", image, transparency=1)) == 255).all()


def test_cmyk(tmp_path):
    image = Image.new("CMYK", (9, 6), (0, 255, 255, 0))
    got = images.read_image(save(tmp_path / "a.tif", image))
    assert got.shape == (6, 9, 3)
    assert (got == (255, 0, 0)).all()


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, name, orientation):
    image = np.zeros((16, 24, 3), np.uint8)
    image[:8, :8] = 255  # the corner tells all eight apart together with the shape
    image[:8, 8:16] = 128
    turned = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.swapaxes(0, 1),
        6: np.rot90(image, -1),
        7: np.rot90(image.swapaxes(0, 1), 2),
        8: np.rot90(image),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = images.read_image(save(tmp_path / name, image, exif=exif))
    assert got.shape == turned.shape
    assert abs(got.astype(int) - turned).max() < 40


def test_broken_exif_is_no_reason_to_refuse(tmp_path):
    save(tmp_path / "a.jpg", RGB, exif=b"Exif\0\0nonsense")
    assert images.read_image(tmp_path / "a.jpg").shape == RGB.shape


# ---- refusing


def bomb_png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def bomb_tiff(width, height):
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: height, 279: width * height & ~0}
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value & 0xFFFFFFFF) for tag, value in tags.items())
    return (b"II*\0" + struct.pack("<IH", 8, len(tags)) + fields + struct.pack("<I", 0)).ljust(268, b"\0")


@pytest.mark.parametrize("make", [bomb_png, bomb_tiff])
def test_a_bomb_is_refused_by_its_header(tmp_path, make):
    path = tmp_path / "bomb"
    path.write_bytes(make(200_000, 200_000))
    assert "200000 x 200000 pixels are more than the limit of 268435456" in reason(path)


def test_the_bomb_takes_no_memory(tmp_path):
    path = tmp_path / "bomb.tif"
    path.write_bytes(bomb_tiff(200_000, 200_000))
    code = (
        "import sys\n"
        "from pyseg import ImageReadError, images\n"
        "try:\n    images.read_image(sys.argv[1])\nexcept ImageReadError as error:\n    print(error.reason)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    why, kilobytes = done.stdout.splitlines()
    assert "more than the limit" in why
    assert int(kilobytes) < 400_000


def test_the_cap_is_the_callers(tmp_path):
    path = save(tmp_path / "a.png", RGB)
    assert reason(path, max_pixels=53) == "9 x 6 pixels are more than the limit of 53 (max_pixels)"
    assert images.read_image(path, max_pixels=54).shape == RGB.shape
    with pytest.raises(ValueError, match="max_pixels must be at least 1, got 0"):
        images.read_image(path, max_pixels=0)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.gif", "a.bmp"])
def test_pillows_own_limit_neither_warns_nor_stays_changed(tmp_path, monkeypatch, name):
    path = save(tmp_path / name, RGB)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # 54 pixels: more than twice as many, an error in PIL.Image.open
    assert images.read_image(path).shape == RGB.shape
    assert Image.MAX_IMAGE_PIXELS == 20


FORMATS = [
    ("JPEG", {}),
    ("PNG", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("BMP", {}),
    ("WEBP", {"lossless": True}),
    ("PPM", {}),
    ("GIF", {}),
]


@pytest.mark.parametrize(("kind", "options"), FORMATS)
def test_truncated(tmp_path, kind, options):
    data = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(data, kind, **options)
    path = tmp_path / "a"
    for keep in (1, 9, 20, len(data.getvalue()) // 2):
        path.write_bytes(data.getvalue()[:keep])
        reason(path)


@pytest.mark.parametrize(("kind", "options"), FORMATS)
def test_corrupt_bytes_give_a_picture_or_the_one_error(tmp_path, kind, options):
    data = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(data, kind, **options)
    random = np.random.default_rng(1)
    path = tmp_path / "a"
    outcomes = set()
    for _ in range(150):
        broken = bytearray(data.getvalue())
        for at in random.integers(0, min(len(broken), 400), random.integers(1, 8)):
            broken[at] = random.integers(0, 256)
        path.write_bytes(broken)
        try:
            outcomes.add(images.read_image(path, max_pixels=2**22).ndim)
        except ImageReadError as error:
            outcomes.add(type(error))
    assert ImageReadError in outcomes


def test_what_is_not_a_picture(tmp_path):
    assert reason(tmp_path / "absent.png") == "no such file"
    assert reason(tmp_path) == "is a folder"
    (tmp_path / "empty.png").touch()
    assert reason(tmp_path / "empty.png") == "the file is empty"
    (tmp_path / "text.png").write_text("hello")
    assert reason(tmp_path / "text.png").startswith("not a JPEG, PNG")
    os.mkfifo(tmp_path / "pipe.png")
    assert reason(tmp_path / "pipe.png") == "not a regular file"
    with pytest.raises(TypeError):
        images.read_image(None)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_no_picture(tmp_path, dtype):
    assert "the pixels are" in reason(save(tmp_path / "a.tif", GREY.astype(dtype)))


def test_a_format_that_is_not_allowed(tmp_path):
    (tmp_path / "a.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ")
    assert reason(tmp_path / "a.jp2").startswith("not a JPEG, PNG")


def test_the_error_survives_a_worker_process():
    error = pickle.loads(pickle.dumps(ImageReadError("a.png", "the file is empty")))
    assert (error.path, error.reason, str(error)) == (
        "a.png",
        "the file is empty",
        "cannot read a.png: the file is empty",
    )


# ---- label maps

MAPS = {
    "small": np.arange(54, dtype=np.int32).reshape(6, 9),
    "16 bits": np.linspace(0, 65535, 54).astype(np.int32).reshape(6, 9),
    "17 bits": np.linspace(0, 65536, 54).astype(np.int32).reshape(6, 9),
    "31 bits": np.linspace(0, 2**31 - 1, 54).astype(np.int64).astype(np.int32).reshape(6, 9),
    "negative": np.linspace(-(2**31), 2**31 - 1, 54).astype(np.int64).astype(np.int32).reshape(6, 9),
    "masked": np.arange(-1, 53, dtype=np.int32).reshape(6, 9),
}


@pytest.mark.parametrize("suffix", images.LABEL_SUFFIXES)
@pytest.mark.parametrize("labels", MAPS.values(), ids=MAPS)
def test_label_maps_come_back_exactly(tmp_path, suffix, labels):
    path = tmp_path / f"a{suffix}"
    images.write_labels(path, labels)
    got = images.read_labels(path)
    assert got.dtype == np.int32
    assert np.array_equal(got, labels)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint16, np.int64, np.uint64, ">i4"])
def test_label_maps_of_any_integer(tmp_path, dtype):
    labels = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)[:, ::-1]
    images.write_labels(tmp_path / "a.png", labels)
    assert np.array_equal(images.read_labels(tmp_path / "a.png"), labels)


def test_how_label_maps_are_stored(tmp_path):
    images.write_labels(tmp_path / "a.png", MAPS["16 bits"])
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "I;16"
        assert np.array_equal(np.asarray(image), MAPS["16 bits"])
    images.write_labels(tmp_path / "b.png", MAPS["31 bits"])
    with Image.open(tmp_path / "b.png") as image:
        r, g, b, a = np.moveaxis(np.asarray(image).astype(np.int64), 2, 0)
    assert np.array_equal(r + (g << 8) + (b << 16) + (a << 24), MAPS["31 bits"])
    images.write_labels(tmp_path / "a.npz", MAPS["small"])
    assert np.load(tmp_path / "a.npz")["labels"].dtype == np.int32
    images.write_labels(tmp_path / "a.tif", MAPS["negative"])
    with Image.open(tmp_path / "a.tif") as image:
        assert image.mode == "I"


def test_label_maps_of_other_programs(tmp_path):
    assert np.array_equal(images.read_labels(save(tmp_path / "a.png", GREY)), GREY)
    palette = Image.fromarray(GREY % 4, "L").convert("P")
    indices = np.asarray(palette).copy()
    assert np.array_equal(images.read_labels(save(tmp_path / "b.png", palette)), indices)


def test_labels_that_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"path must end in .png, .npy, .npz, .tif, .tiff, got .*a.jpg"):
        images.write_labels(tmp_path / "a.jpg", MAPS["small"])
    with pytest.raises(ValueError, match=r"must be \[H, W\], got \[6, 9, 3\]"):
        images.write_labels(tmp_path / "a.png", RGB)
    with pytest.raises(TypeError, match="must be integers, got float32"):
        images.write_labels(tmp_path / "a.png", GREY.astype(np.float32))
    with pytest.raises(ValueError, match=r"must fit int32, got 0..2147483648"):
        images.write_labels(tmp_path / "a.npy", np.array([[0, 2**31]]))
    with pytest.raises(ValueError, match=r"empty map needs .npy or .npz, got \[0, 4\]"):
        images.write_labels(tmp_path / "a.png", np.zeros((0, 4), int))
    images.write_labels(tmp_path / "a.npz", np.zeros((0, 4), int))
    assert images.read_labels(tmp_path / "a.npz").shape == (0, 4)
    assert os.listdir(tmp_path) == ["a.npz"]


def test_labels_that_cannot_be_read(tmp_path):
    def why(path):
        with pytest.raises(ImageReadError) as caught:
            images.read_labels(path, max_pixels=1000)
        return caught.value.reason

    assert "RGB" in why(save(tmp_path / "a.png", RGB))
    assert "RGBA" in why(save(tmp_path / "b.png", np.dstack([RGB, GREY])))
    np.save(tmp_path / "c.npy", GREY.astype(float))
    assert why(tmp_path / "c.npy") == "labels must be integers, got float64"
    np.save(tmp_path / "d.npy", np.array([[{}]]), allow_pickle=True)
    assert "allow_pickle" in why(tmp_path / "d.npy")
    np.savez(tmp_path / "e.npz", other=GREY)
    assert "labels.npy" in why(tmp_path / "e.npz")
    np.save(tmp_path / "f.npy", np.zeros((40, 40), np.int32))
    assert why(tmp_path / "f.npy") == "[40, 40] pixels are more than the limit of 1000 (max_pixels)"
    (tmp_path / "g.npy").write_bytes((tmp_path / "c.npy").read_bytes()[:-8])
    assert why(tmp_path / "g.npy")
    assert why(tmp_path / "absent.npy") == "no such file"


# ---- drawing


def test_contours():
    labels = np.zeros((6, 9), int)
    labels[:, 4:] = 1
    labels[3:, 4:] = 2
    got = images.mark_contours(RGB, labels, color=(1, 2, 3))
    line = np.zeros(labels.shape, bool)
    line[:, 3] = True
    line[2, 4:] = True
    assert (got[line] == (1, 2, 3)).all()
    assert np.array_equal(got[~line], RGB[~line])
    assert not np.shares_memory(got, RGB)


@pytest.mark.parametrize("thickness", [1, 2, 3, 4, 50])
def test_thickness(thickness):
    labels = np.repeat([0, 1], 20)[None].repeat(5, axis=0)
    got = images.mark_contours(np.zeros(labels.shape, np.uint8), labels, thickness=thickness)
    assert (got[2].any(axis=-1)).sum() == min(thickness, 40)


def test_mean_color():
    labels = RNG.integers(0, 5, (6, 9))
    got = images.mean_color(RGB, labels)
    for label in range(5):
        mean = RGB[labels == label].mean(axis=0)
        assert (abs(got[labels == label] - mean) <= 0.5 + 1e-9).all()
    assert np.array_equal(images.mean_color(RGB, labels * 10_000_000 + 7), got)
    grey = images.mean_color(GREY, labels)
    assert np.array_equal(grey[..., 0], grey[..., 2])


@pytest.mark.parametrize("scale", [1, 10_000_000])
def test_pixels_outside_every_superpixel_stay(scale):
    labels = np.where(RNG.random((6, 9)) < 0.3, -1, RNG.integers(0, 3, (6, 9)) * scale)
    got = images.mean_color(RGB, labels)
    assert np.array_equal(got[labels < 0], RGB[labels < 0])
    assert len(np.unique(got[labels >= 0], axis=0)) <= 3
    assert np.array_equal(images.mean_color(RGB, np.full((6, 9), -1)), RGB)


@pytest.mark.parametrize("draw", [images.mark_contours, images.mean_color])
def test_drawing_rules(draw):
    assert draw(np.zeros((0, 4, 3), np.uint8), np.zeros((0, 4), int)).shape == (0, 4, 3)
    assert draw(GREY16, np.zeros((6, 9), int)).dtype == np.uint8
    with pytest.raises(ValueError, match=r"image must be uint8 or uint16, got float64"):
        draw(RGB / 1.0, np.zeros((6, 9), int))
    with pytest.raises(ValueError, match=r"image must be \[H, W\] or \[H, W, 3\], got \[6, 9, 2\]"):
        draw(RGB[..., :2], np.zeros((6, 9), int))
    with pytest.raises(ValueError, match=r"labels must be integers of shape \[6, 9\] as in image, got int64 \[9, 6\]"):
        draw(RGB, np.zeros((9, 6), np.int64))


def test_contour_rules():
    with pytest.raises(ValueError, match=r"color must be three values in 0..255, got \(0, 0, 256\)"):
        images.mark_contours(RGB, np.zeros((6, 9), int), color=(0, 0, 256))
    with pytest.raises(ValueError, match=r"thickness must be at least 1, got 0"):
        images.mark_contours(RGB, np.zeros((6, 9), int), thickness=0)


def test_to_uint8():
    assert images.to_uint8(RGB) is RGB
    ramp = np.array([[1000, 1500, 5000]], np.uint16)
    assert images.to_uint8(ramp).tolist() == [[0, 32, 255]]
    assert images.to_uint8(np.full((2, 2), 65535, np.uint16)).tolist() == [[0, 0], [0, 0]]
    assert images.to_uint8(np.array([[0, 65535]], np.uint16)).tolist() == [[0, 255]]


# ---- writing


def test_write_image(tmp_path):
    images.write_image(tmp_path / "a.png", RGB)
    assert np.array_equal(images.read_image(tmp_path / "a.png"), RGB)
    images.write_image(tmp_path / "a.jpg", GREY)
    assert images.read_image(tmp_path / "a.jpg").shape == GREY.shape
    with pytest.raises(ValueError, match=r"must end in .png, .jpg or .jpeg, got .*a.gif"):
        images.write_image(tmp_path / "a.gif", RGB)
    with pytest.raises(ValueError, match="image must be uint8, got uint16"):
        images.write_image(tmp_path / "b.png", GREY16)
    assert sorted(os.listdir(tmp_path)) == ["a.jpg", "a.png"]


def failing_block(path, error):
    with images.atomic_write(path, "w") as file:
        file.write("half")
        file.flush()
        assert len(os.listdir(path.parent)) == 2  # what stood there, and the unfinished file
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failed_write_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error):
        failing_block(path, error)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_atomic_write_rules(tmp_path):
    with pytest.raises(ValueError, match="mode must be 'wb' or 'w', got 'r'"), images.atomic_write(tmp_path / "a", "r"):
        pass
    with pytest.raises(OSError, match="is not a regular file"), images.atomic_write("/dev/null"):
        pass
    with pytest.raises(FileNotFoundError), images.atomic_write(tmp_path / "no" / "a"):
        pass


def test_atomic_write_follows_links_and_the_umask(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "a")
    before = os.umask(0o027)
    try:
        with images.atomic_write(tmp_path / "link", "w") as file:
            file.write("new")
    finally:
        os.umask(before)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "a").read_text() == "new"
    assert (tmp_path / "there" / "a").stat().st_mode & 0o777 == 0o640
