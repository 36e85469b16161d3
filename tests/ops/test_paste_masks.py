"""pyseg.paste_masks is its definition, and what the two implementations make of it, but for rounding."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import pyseg
from pyseg import _runtime
from pyseg.reference import paste_masks as reference

CONVENTIONS = ("torchvision", "detectron2")
convention = pytest.mark.parametrize("convention", CONVENTIONS)


def problem(seed=0, count=12, mask=(28, 28), size=(60, 90), dtype="float32"):
    """(masks, boxes, size): some boxes reach beyond the image."""
    rng = np.random.default_rng(seed)
    side = np.array([size[1], size[0]])
    middle, half = rng.random((count, 2)) * side, rng.random((count, 2)) * side * 0.4
    boxes = np.concatenate([middle - half, middle + half], 1)
    kind = np.float64 if dtype == "float64" else np.float32
    return rng.random((count, *mask)).astype(dtype), boxes.astype(kind), size


def check(masks, boxes, size, convention):
    expected = reference(masks, boxes, size, None, convention=convention)
    near = np.abs(expected - 0.5) < 2e-5
    soft = pyseg.paste_masks(masks, boxes, size, None, convention=convention)
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft, expected, rtol=0, atol=2e-5)
    hard = pyseg.paste_masks(masks, boxes, size, convention=convention)
    assert hard.dtype == np.bool_
    np.testing.assert_array_equal(hard, soft >= 0.5)
    np.testing.assert_array_equal(hard | near, (expected >= 0.5) | near)
    tensors = (torch.from_numpy(masks), torch.from_numpy(boxes))
    by_torch = pyseg.paste_masks(*tensors, size, convention=convention)
    assert by_torch.dtype == torch.bool
    np.testing.assert_array_equal(by_torch.numpy(), hard)
    by_torch = pyseg.paste_masks(*tensors, size, None, convention=convention)
    np.testing.assert_array_equal(by_torch.numpy(), soft)


TABLE = {
    "plain": {},
    "a mask of one pixel": {"mask": (1, 1)},
    "a narrow mask": {"mask": (28, 3)},
    "a mask larger than the image": {"mask": (70, 80), "size": (20, 30)},
    "one row": {"size": (1, 90)},
    "one column": {"size": (60, 1)},
    "one pixel": {"size": (1, 1)},
    "nothing": {"size": (0, 5)},
    "no masks": {"count": 0},
    "wide": {"size": (30, 700)},
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@convention
@pytest.mark.parametrize("name", TABLE)
def test_equals_the_reference(name, convention, dtype):
    check(*problem(**TABLE[name], dtype=dtype), convention)


@convention
def test_is_the_same_on_every_instruction_set_and_threads(convention, set_isa):
    case = problem(count=30, size=(70, 131))
    results = []
    for isa, threads in (("baseline", 1), ("avx2", 2), ("avx512", 3), ("", 4)):
        set_isa(isa)
        pyseg.set_num_threads(threads)
        torch.set_num_threads(threads)
        results.append(pyseg.paste_masks(*case, None, convention=convention))
        results.append(
            pyseg.paste_masks(*map(torch.from_numpy, case[:2]), case[2], None, convention=convention).numpy()
        )
        hard = pyseg.paste_masks(*case, 0.4, convention=convention)
        np.testing.assert_array_equal(hard, results[0] >= np.float32(0.4))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


STRANGE = [
    (7, 7, 7, 7),
    (12.5, 3, 11, 2),
    (30, 20, 5, 4),
    (300, 300, 400, 440),
    (-40, -30, -20, -11),
    (1.25, 2.5, 1.75, 2.75),
    (-700, -900, 4000, 3500),
    (89, 59, 90, 60),
    (0, 0, 90, 60),
    (5, 5, 5, 20),
]


@convention
@pytest.mark.parametrize("box", STRANGE, ids=str)
def test_strange_boxes(box, convention):
    masks, _, size = problem(count=1)
    check(masks, np.array([box], np.float32), size, convention)


@convention
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30, 3e38, 1e12, -1e9])
def test_boxes_that_are_not_finite_or_huge(value, convention):
    masks, boxes, size = problem()
    expected = pyseg.paste_masks(masks, boxes, size, None, convention=convention)
    for corner in range(4):
        wild = boxes.copy()
        wild[::2, corner] = value
        result = pyseg.paste_masks(masks, wild, size, None, convention=convention)
        np.testing.assert_array_equal(result[1::2], expected[1::2])
        assert np.isfinite(result).all()
        if not np.isfinite(value):
            assert not result[::2].any()


@st.composite
def problems(draw):
    size = (draw(st.integers(1, 40)), draw(st.integers(1, 60)))
    mask = (draw(st.integers(1, 30)), draw(st.integers(1, 30)))
    masks, boxes, size = problem(draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 4)), mask, size)
    if draw(st.booleans()):
        boxes = np.round(boxes)
    spread = draw(st.sampled_from([0.0, 3.0, 50.0]))
    boxes += np.random.default_rng(0).normal(size=boxes.shape).astype("f4") * np.float32(spread)
    return masks, boxes, size, draw(st.sampled_from(CONVENTIONS))


@settings(max_examples=150)
@given(problems())
def test_equals_the_reference_on_anything(case):
    check(*case)


def by_grid_sample(mask, box, height, width):
    """Of a whole image, in float64: detectron2's rule in torch's words."""
    x0, y0, x1, y1 = box.double()
    y = (torch.arange(height, dtype=torch.float64) + 0.5 - y0) / (y1 - y0) * 2 - 1
    x = (torch.arange(width, dtype=torch.float64) + 0.5 - x0) / (x1 - x0) * 2 - 1
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1)
    return F.grid_sample(mask.double()[None, None], grid[None], align_corners=False)[0, 0]


def test_is_grid_sample():
    """Beyond a pixel from the box nothing is left but of boxes of less than three pixels a side of the mask."""
    masks, boxes, (height, width) = problem(mask=(14, 14))
    tensors = [torch.from_numpy(a) for a in (masks, boxes)]
    mine = pyseg.paste_masks(*tensors, (height, width), None, convention="detectron2")
    for mask, box, image in zip(*tensors, mine, strict=True):
        expected = by_grid_sample(mask, box, height, width)
        x0, y0, x1, y1 = (int(v) for v in (*(box[:2].floor() - 1).clamp(min=0), *(box[2:].ceil() + 1).clamp(min=0)))
        inside = torch.zeros_like(expected)
        inside[y0:y1, x0:x1] = 1
        torch.testing.assert_close(image.double(), expected * inside, rtol=0, atol=2e-5)


def by_interpolate(mask, box, height, width):
    """torchvision's rule in torch's words."""
    scale = (mask.shape[1] + 2) / mask.shape[1]
    half, middle = (box[2:] - box[:2]) * 0.5 * scale, (box[2:] + box[:2]) * 0.5
    (x0, y0), (x1, y1) = (middle - half).long().tolist(), (middle + half).long().tolist()
    w, h = max(x1 - x0 + 1, 1), max(y1 - y0 + 1, 1)
    drawn = F.interpolate(F.pad(mask, (1,) * 4)[None, None], (h, w), mode="bilinear", align_corners=False)[0, 0]
    image = torch.zeros(height, width)
    top, left, bottom, right = max(y0, 0), max(x0, 0), min(y1 + 1, height), min(x1 + 1, width)
    if top < bottom and left < right:
        image[top:bottom, left:right] = drawn[top - y0 : bottom - y0, left - x0 : right - x0]
    return image


def test_is_interpolate():
    masks, boxes, (height, width) = problem(count=40)
    tensors = [torch.from_numpy(a) for a in (masks, boxes)]
    mine = pyseg.paste_masks(*tensors, (height, width), None)
    for mask, box, image in zip(*tensors, mine, strict=True):
        torch.testing.assert_close(image, by_interpolate(mask, box, height, width), rtol=0, atol=2e-5)


def test_is_torchvisions():
    try:
        from torchvision.models.detection.roi_heads import paste_masks_in_image
    except Exception as error:
        pytest.skip(f"torchvision does not load here: {error}")
    masks, boxes, size = problem(count=40)
    masks, boxes = torch.from_numpy(masks)[:, None], torch.from_numpy(boxes)
    expected = paste_masks_in_image(masks, boxes, size)[:, 0]
    torch.testing.assert_close(pyseg.paste_masks(masks, boxes, size, None), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_their_float32(dtype):
    masks, boxes, size = problem()
    masks = torch.from_numpy(masks).to(dtype)
    expected = pyseg.paste_masks(masks.float(), torch.from_numpy(boxes), size, None)
    assert torch.equal(pyseg.paste_masks(masks, torch.from_numpy(boxes), size, None), expected)
    assert torch.equal(
        pyseg.paste_masks(masks[:, None].requires_grad_(), torch.from_numpy(boxes), size, None), expected
    )


def test_layout_does_not_matter(unchanged):
    masks, boxes, size = problem()
    expected = pyseg.paste_masks(masks, boxes, size)
    for change in (np.asfortranarray, lambda a: a[::-1].copy()[::-1], lambda a: a.astype(a.dtype.newbyteorder())):
        arrays = [change(a) for a in (masks, boxes)]
        unchanged(*arrays)
        np.testing.assert_array_equal(pyseg.paste_masks(*arrays, size), expected)


@pytest.mark.parametrize("threshold", [None, 0.5])
@pytest.mark.parametrize("whole", [False, True])
def test_opcheck(threshold, whole):
    masks, boxes, size = problem(size=(20, 30))
    op = _runtime.torch_ops().paste_masks.default
    torch.library.opcheck(op, (torch.from_numpy(masks), torch.from_numpy(boxes), *size, threshold, whole))


def test_compiles_whole_and_exports():
    masks, boxes, size = problem()
    masks, boxes = torch.from_numpy(masks), torch.from_numpy(boxes)
    call = lambda m, b: pyseg.paste_masks(m, b, size).float().mean((1, 2))  # noqa: E731
    for dynamic in (False, True):
        compiled = torch.compile(call, fullgraph=True, backend="eager", dynamic=dynamic)
        for n in (12, 5):
            assert torch.equal(compiled(masks[:n], boxes[:n]), call(masks[:n], boxes[:n]))

    class Module(torch.nn.Module):
        def forward(self, m, b):
            return call(m, b)

    assert torch.equal(torch.export.export(Module(), (masks, boxes)).module()(masks, boxes), call(masks, boxes))
