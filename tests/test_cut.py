"""``pyseg.cut`` and ``pyseg.Cutter``: objects whose right mask is known, marks, steps, and hostile input."""

import numpy as np
import pytest

import pyseg
from pyseg import _runtime

native = _runtime.native()


def noise(shape, seed=0, spread=12):
    return np.random.default_rng(seed).normal(0, spread, shape)


@pytest.fixture(scope="module")
def disc():
    """A textured orange disc on textured green, and its mask."""
    y, x = np.mgrid[:120, :160]
    mask = (y - 60) ** 2 + (x - 80) ** 2 < 35**2
    image = np.where(mask[..., None], (210, 130, 40), (60, 120, 70)) + noise((120, 160, 3))
    return np.clip(image, 0, 255).astype(np.uint8), mask


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


BOX = (43, 23, 117, 97)


def given(mask):
    """Every kind of input, for the disc."""
    scribbles = np.full(mask.shape, -1, np.int8)
    scribbles[58:62, 70:90] = 1
    scribbles[5:8, 10:150] = 0
    trimap = np.full(mask.shape, 128, np.uint8)
    trimap[55:65, 75:85] = 255
    trimap[:15] = trimap[-15:] = 0
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    contour = np.stack([80 + 42 * np.cos(angles), 60 + 42 * np.sin(angles)], 1)
    guess = np.zeros(mask.shape, bool)
    guess[35:85, 58:115] = True
    line = np.array([[10, 5], [150, 5], [150, 110]])
    return {
        "box": {"box": BOX},
        "click": {"clicks": [(80, 60, True)]},
        "clicks": {"clicks": [(80, 60, True), (10, 10, False)]},
        "scribbles": {"scribbles": scribbles},
        "lines": {"scribbles": [([[70, 60], [90, 60]], True), (line, False, 3)]},
        "contour": {"contour": contour},
        "trimap": {"trimap": trimap},
        "mask": {"mask": guess},
        "all": {"box": BOX, "clicks": [(80, 60, True)], "scribbles": scribbles, "trimap": trimap, "mask": guess},
    }


NAMES = list(given(np.zeros((120, 160), bool)))

# ---- the right answer


@pytest.mark.parametrize("name", NAMES)
def test_disc_is_found(disc, name):
    image, mask = disc
    got = pyseg.cut(image, **given(mask)[name])
    assert got.dtype == bool
    assert got.shape == mask.shape
    assert iou(got, mask) > 0.97


def test_box_takes_the_one_object_in_it(disc):
    image, mask = (np.concatenate([a, a], 1) for a in disc)
    got = pyseg.cut(image, box=(203, 23, 277, 97))
    mask = mask & (np.arange(320) >= 160)
    assert iou(got, mask) > 0.97


def test_strokes_take_the_one_object_they_touch(disc):
    image, mask = (np.concatenate([a, a], 1) for a in disc)
    got = pyseg.cut(image, clicks=[(80, 60, True), (240, 60, False), (160, 10, False)])
    assert iou(got, mask & (np.arange(320) < 160)) > 0.95


def test_grey_and_other_types_of_pixel(disc):
    image, mask = disc
    grey = np.where(mask, 180, 90) + noise(mask.shape)
    for dtype, scale in ((np.uint8, 1), (np.uint16, 16), (np.float16, 1 / 255), (np.float64, 1 / 255)):
        typed = (np.clip(grey, 0, 255) * scale).astype(dtype)
        assert iou(pyseg.cut(typed, box=BOX), mask) > 0.95
        assert iou(pyseg.cut(typed[..., None], box=BOX), mask) > 0.95
    floats = image / np.float32(255)
    assert np.array_equal(pyseg.cut(floats, box=BOX), pyseg.cut(image, box=BOX))


def test_channel_axis(disc):
    image, _ = disc
    planes = np.moveaxis(image, -1, 0)
    assert np.array_equal(pyseg.cut(planes, box=BOX, channel_axis=0), pyseg.cut(image, box=BOX))


def test_undersized_superpixels_and_no_crf(disc):
    image, mask = disc
    assert iou(pyseg.cut(image, box=BOX, superpixels=40), mask) > 0.8
    assert iou(pyseg.cut(image, box=BOX, n_iter=0), mask) > 0.93


# ---- marks are kept


def test_marks_win_over_everything(disc):
    image, mask = disc
    scribbles = np.random.default_rng(1).integers(-1, 2, mask.shape).astype(np.int8)
    scribbles[np.random.default_rng(2).random(mask.shape) < 0.9] = -1
    cutter = pyseg.Cutter(image)
    got = cutter.cut(box=BOX, scribbles=scribbles, mask=~mask)
    assert got[scribbles == 1].all()
    assert not got[scribbles == 0].any()
    assert (cutter.probability[scribbles == 1] == 1).all()
    assert (cutter.probability[scribbles == 0] == 0).all()
    outside = np.ones(mask.shape, bool)
    outside[23:97, 43:117] = False
    assert not got[outside & (scribbles != 1)].any()


def test_later_marks_win(disc):
    image, _ = disc
    cutter = pyseg.Cutter(image, click_radius=3)
    assert cutter.add_click(80, 60)[60, 80]
    assert not cutter.add_click(80, 60, False)[60, 80]
    assert cutter.add_scribble([(75, 60), (85, 60)], True, 1)[60, 75:86].all()
    got = pyseg.cut(image, clicks=[(20, 20, True), (20, 20, False)])
    assert not got[20, 20]


def test_click_marks_a_disc(disc):
    cutter = pyseg.Cutter(disc[0], click_radius=4)
    cutter.add_click(80, 60)
    y, x = np.mgrid[:120, :160]
    assert np.array_equal(cutter.strokes == 1, (y - 60) ** 2 + (x - 80) ** 2 <= 4.5**2)
    cutter = pyseg.Cutter(disc[0], click_radius=0)
    cutter.add_click(159.4, 119.4, False)
    assert (cutter.strokes == 0).sum() == 1
    assert cutter.strokes[119, 159] == 0


def test_everything_marked(disc):
    image, mask = disc
    assert pyseg.cut(image, scribbles=np.ones(mask.shape, np.int8)).all()
    assert not pyseg.cut(image, scribbles=np.zeros(mask.shape, np.int8)).any()
    assert np.array_equal(pyseg.cut(image, scribbles=mask.astype(np.int8)), mask)


# ---- steps


def test_recut_equals_a_fresh_cut(disc):
    image, mask = disc
    each = given(mask)
    cutter = pyseg.Cutter(image)
    cutter.cut(box=(10, 10, 50, 50))
    cutter.cut(clicks=[(80, 60, True)])
    cutter.add_scribble([(10, 5), (150, 5)], False, 3)
    got = cutter.cut(box=BOX, scribbles=each["scribbles"]["scribbles"])
    fresh = pyseg.Cutter(image)
    fresh.cut(clicks=[(80, 60, True)])
    want = fresh.cut(box=BOX, scribbles=[([(10, 5), (150, 5)], False, 3)])
    want = fresh.cut(scribbles=each["scribbles"]["scribbles"])
    assert np.array_equal(got, want)
    assert cutter.probability.tobytes() == fresh.probability.tobytes()
    one = pyseg.cut(image, box=BOX, clicks=[(80, 60, True)], scribbles=each["lines"]["scribbles"])
    cutter.reset()
    cutter.cut(scribbles=each["lines"]["scribbles"])
    cutter.cut(box=BOX)
    assert np.array_equal(cutter.add_click(80, 60), one)


def test_undo_and_reset(disc):
    image, _ = disc
    cutter = pyseg.Cutter(image)
    first = cutter.cut(box=BOX)
    cutter.add_click(20, 20)
    assert cutter.mask[20, 20]
    assert cutter.undo()
    assert np.array_equal(cutter.mask, first)
    assert cutter.undo()
    assert not cutter.undo()
    with pytest.raises(ValueError, match="must be given, got none"):
        _ = cutter.mask
    cutter.cut(box=BOX)
    cutter.reset()
    with pytest.raises(ValueError, match="must be given, got none"):
        _ = cutter.probability
    assert np.array_equal(cutter.cut(box=BOX), first)


def test_an_error_leaves_all_as_before(disc):
    cutter = pyseg.Cutter(disc[0])
    with pytest.raises(ValueError, match="no marked pixel"):
        cutter.cut(scribbles=np.full((120, 160), -1))
    first = cutter.cut(box=BOX)
    with pytest.raises(ValueError, match="a click must lie in the image"):
        cutter.cut(clicks=[(1, 1, True), (160, 1, True)])
    assert np.array_equal(cutter.mask, first)
    assert np.array_equal(cutter.cut(scribbles=np.full((120, 160), -1)), first)


def test_results_are_the_callers_own(disc):
    cutter = pyseg.Cutter(disc[0])
    first = cutter.cut(box=BOX)
    kept = first.copy()
    first[:] = True
    cutter.probability[:] = 7
    assert np.array_equal(cutter.mask, kept)
    assert cutter.probability.max() <= 1


# ---- the same everywhere


def test_threads_and_instruction_sets(disc):
    image, mask = disc
    threads, isa = pyseg.get_num_threads(), native.isa()
    levels = ["baseline", "avx2", "avx512"]
    found = set()
    try:
        for level in levels[: levels.index(native.widest_isa().partition("_")[0]) + 1]:
            native.set_isa(level)
            for n in (1, 2, 4):
                pyseg.set_num_threads(n)
                cutter = pyseg.Cutter(image)
                cutter.cut(**given(mask)["all"])
                found.add(cutter.probability.tobytes())
    finally:
        native.set_isa(isa)
        pyseg.set_num_threads(threads)
    assert len(found) == 1


def test_strides_and_read_only(disc):
    image, _ = disc
    want = pyseg.cut(image, box=BOX)
    wide = np.zeros((240, 320, 4), np.uint8)
    wide[::2, ::2, :3] = image
    view = wide[::2, ::2, :3]
    view.flags.writeable = False
    assert np.array_equal(pyseg.cut(view, box=BOX), want)
    assert np.array_equal(pyseg.cut(np.asfortranarray(image), box=BOX), want)
    swapped = image.astype(np.float32).byteswap().view(np.dtype("f4").newbyteorder()) / np.float32(255)
    assert np.array_equal(pyseg.cut(swapped, box=BOX), want)
    flipped = pyseg.cut(image[::-1], box=(43, 23, 117, 97))
    assert iou(flipped[::-1], want) > 0.9


def test_torch_in_torch_out(disc):
    torch = pytest.importorskip("torch")
    image, mask = disc
    each = given(mask)["all"] | {"box": torch.tensor(BOX)}
    each = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in each.items()}
    cutter = pyseg.Cutter(torch.from_numpy(image))
    got = cutter.cut(**each)
    assert got.dtype == torch.bool
    assert cutter.probability.dtype == torch.float32
    assert np.array_equal(got.numpy(), pyseg.cut(image, **given(mask)["all"]))


def test_inputs_are_not_modified(disc):
    image, mask = disc
    each = given(mask)["all"]
    before = image.tobytes(), {k: np.asarray(v).tobytes() for k, v in each.items()}
    pyseg.cut(image, **each)
    assert (image.tobytes(), {k: np.asarray(v).tobytes() for k, v in each.items()}) == before


# ---- nothing to learn the background or the object from


def test_box_that_is_the_image(disc):
    image, mask = disc
    assert iou(pyseg.cut(image, box=(0, 0, 160, 120)), mask) > 0.5
    assert np.array_equal(pyseg.cut(image, box=(-50, -9, 999, 1e5)), pyseg.cut(image, box=(0, 0, 160, 120)))


def test_background_alone_leaves_the_middle(disc):
    image, mask = disc
    assert iou(pyseg.cut(image, scribbles=[([(5, 5), (155, 5), (155, 115), (5, 115), (5, 5)], False)]), mask) > 0.9
