"""pyseg.nms and batched_nms: the indices of their definition and of torchvision; kinds of array, compilation."""

import numpy as np
import pytest
import torch
from box_goldens import golden
from hypothesis import given, settings
from hypothesis import strategies as st

import pyseg
from pyseg import _runtime
from pyseg.reference import batched_nms as batched_reference
from pyseg.reference import nms as reference


def problem(seed=0, count=60, dtype="float32", side=100.0, levels=0, classes=4):
    """(boxes, scores, classes); scores of so many levels, 0: all different."""
    rng = np.random.default_rng(seed)
    middle, half = rng.random((count, 2)) * side, rng.random((count, 2)) * side * 0.2
    boxes = np.concatenate([middle - half, middle + half], 1)
    scores = rng.random(count)
    if levels:
        scores = np.floor(scores * levels) / levels
    return boxes.astype(dtype), scores.astype(dtype), rng.integers(0, classes, count)


def check(boxes, scores, classes, threshold):
    for expected, mine, by_torch in (
        (
            reference(boxes, scores, threshold),
            pyseg.nms(boxes, scores, threshold),
            pyseg.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold),
        ),
        (
            batched_reference(boxes, scores, classes, threshold),
            pyseg.batched_nms(boxes, scores, classes, threshold),
            pyseg.batched_nms(*map(torch.from_numpy, (boxes, scores, classes)), threshold),
        ),
    ):
        assert mine.dtype == np.int64
        assert by_torch.dtype == torch.int64
        np.testing.assert_array_equal(mine, expected)
        np.testing.assert_array_equal(by_torch.numpy(), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.3, 0.5, 0.7, 0.99, 1.0])
@pytest.mark.parametrize("levels", [0, 5, 1])
def test_equals_the_reference(threshold, levels, dtype):
    for seed, count in enumerate((0, 1, 2, 16, 17, 60, 130)):
        check(*problem(seed, count, dtype, levels=levels), threshold)


def test_equals_the_reference_on_every_instruction_set(isa):
    for seed, dtype in enumerate(("float32", "float64")):
        check(*problem(seed, 150, dtype, levels=20), 0.4)


def test_equals_the_reference_on_more_than_a_block():
    """Candidates against those of earlier blocks, and of their own; and class by class."""
    for side, classes, apart in ((100.0, 3, 1), (2000.0, 40, 1), (2000.0, 40, -(10**15))):
        boxes, scores, kinds = problem(3, 1100, side=side, levels=300, classes=classes)
        check(boxes, scores, kinds * apart, 0.5)


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_threads_do_not_matter(threads, set_isa):
    """Of one large class, of many small ones, of a large one among small ones."""
    boxes, scores, classes = problem(5, 12000, side=3000.0, levels=4000, classes=50)
    classes[:6000] = 7
    expected = [pyseg.nms(boxes, scores, 0.5), pyseg.batched_nms(boxes, scores, classes, 0.5)]
    pyseg.set_num_threads(threads)
    torch.set_num_threads(threads)
    for isa in ("baseline", ""):
        set_isa(isa)
        np.testing.assert_array_equal(pyseg.nms(boxes, scores, 0.5), expected[0])
        np.testing.assert_array_equal(pyseg.batched_nms(boxes, scores, classes, 0.5), expected[1])
        tensors = [torch.from_numpy(a) for a in (boxes, scores, classes)]
        np.testing.assert_array_equal(pyseg.batched_nms(*tensors, 0.5).numpy(), expected[1])


WILD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 3e38, 1e-45, 5.0]


@st.composite
def problems(draw):
    count = draw(st.integers(0, 40))
    boxes, scores, classes = problem(
        draw(st.integers(0, 2**32 - 1)), count, draw(st.sampled_from(["float32", "float64"])),
        levels=draw(st.sampled_from([0, 1, 3])),
    )  # fmt: skip
    if draw(st.booleans()):
        boxes = np.round(boxes / 20) * 20  # many ties, and empty boxes
    if draw(st.booleans()) and count:
        for _ in range(draw(st.integers(1, 6))):
            boxes[draw(st.integers(0, count - 1)), draw(st.integers(0, 3))] = draw(st.sampled_from(WILD))
    if draw(st.booleans()) and count:
        for _ in range(draw(st.integers(1, 6))):
            scores[draw(st.integers(0, count - 1))] = draw(st.sampled_from(WILD))
    return boxes, scores, classes, draw(st.sampled_from([-0.5, 0.0, 0.2, 0.5, 1 / 3, 1.0]))


@settings(max_examples=200)
@given(problems())
def test_equals_the_reference_on_anything(case):
    check(*case)


def test_equal_scores_come_in_the_order_given_and_nan_first():
    boxes = np.arange(6)[:, None] * 10 + np.array([0, 0, 5, 5])
    boxes = boxes.astype(np.float32)
    scores = np.array([0.5, 0.0, np.nan, 0.5, -0.0, np.inf], np.float32)
    np.testing.assert_array_equal(pyseg.nms(boxes, scores, 0.5), [2, 5, 0, 3, 1, 4])
    order = torch.from_numpy(scores).sort(descending=True, stable=True)[1]
    np.testing.assert_array_equal(pyseg.nms(boxes, scores, 0.5), order.numpy())


def test_the_threshold_is_not_rounded():
    """IoU is float32 0.1, which is above 0.1."""
    boxes = np.array([[0, 0, 10, 1], [0, 0, 1, 1]], np.float32)
    scores = np.array([1, 0.5], np.float32)
    assert len(pyseg.nms(boxes, scores, 0.1)) == 1
    assert len(pyseg.nms(boxes, scores, float(np.float32(0.1)))) == 2
    assert len(pyseg.nms(boxes.astype(np.float64), scores, 0.1)) == 2


def test_goldens():
    config, inputs, outputs = golden("nms.a")
    boxes, scores, classes = inputs["boxes"], inputs["scores"], inputs["classes"]
    for threshold in config["thresholds"]:
        np.testing.assert_array_equal(pyseg.nms(boxes, scores, threshold), outputs[f"nms.{threshold}"])
        kept = pyseg.batched_nms(boxes, scores, classes, threshold)
        np.testing.assert_array_equal(kept, outputs[f"batched.{threshold}"])
    for i, (flat, values, threshold) in enumerate(config["edge_cases"]):
        rows = np.array(flat, np.float32).reshape(-1, 4)
        kept = pyseg.nms(rows, np.array(values, np.float32), threshold)
        np.testing.assert_array_equal(kept, outputs[f"edge{i}"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_types_are_their_float32(dtype):
    boxes, scores, classes = (torch.from_numpy(a) for a in problem(0, 100))
    boxes, scores = boxes.to(getattr(torch, dtype)), scores.to(getattr(torch, dtype))
    assert torch.equal(pyseg.nms(boxes, scores, 0.5), pyseg.nms(boxes.float(), scores.float(), 0.5))
    kept = pyseg.batched_nms(boxes, scores, classes, 0.5)
    assert torch.equal(kept, pyseg.batched_nms(boxes.float(), scores.float(), classes.int(), 0.5))


def test_layout_does_not_matter(unchanged):
    boxes, scores, classes = problem(0, 100)
    expected = pyseg.batched_nms(boxes, scores, classes, 0.5)
    for change in (
        lambda a: np.repeat(a, 2, 0)[::2],
        np.asfortranarray,
        lambda a: a[::-1].copy()[::-1],
        lambda a: a.astype(a.dtype.newbyteorder()),
    ):
        arrays = [change(a) for a in (boxes, scores, classes)]
        unchanged(*arrays)
        np.testing.assert_array_equal(pyseg.batched_nms(*arrays, 0.5), expected)
    columns = np.concatenate([boxes, scores[:, None]], 1)
    np.testing.assert_array_equal(pyseg.nms(columns[:, :4], columns[:, 4], 0.5), pyseg.nms(boxes, scores, 0.5))
    tensor = torch.from_numpy(columns).requires_grad_()
    kept = pyseg.nms(tensor[:, :4], tensor[:, 4], 0.5)
    assert not kept.requires_grad
    np.testing.assert_array_equal(kept.numpy(), pyseg.nms(boxes, scores, 0.5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_opcheck(dtype):
    boxes, scores, classes = (torch.from_numpy(a) for a in problem(0, 50))
    op = _runtime.torch_ops().nms.default
    for given_classes in (None, classes):
        torch.library.opcheck(op, (boxes.to(dtype), scores.to(dtype), 0.5, given_classes))


def test_compiles_whole_and_exports():
    boxes, scores, classes = (torch.from_numpy(a) for a in problem(0, 50))
    call = lambda b, s, c: (pyseg.nms(b, s, 0.5) * 2, pyseg.batched_nms(b, s, c, 0.5))  # noqa: E731
    for dynamic in (False, True):
        compiled = torch.compile(call, fullgraph=True, backend="eager", dynamic=dynamic)
        for n in (50, 30):
            arguments = (boxes[:n], scores[:n], classes[:n])
            for mine, expected in zip(compiled(*arguments), call(*arguments), strict=True):
                assert torch.equal(mine, expected)

    class Module(torch.nn.Module):
        def forward(self, b, s, c):
            return call(b, s, c)

    exported = torch.export.export(Module(), (boxes, scores, classes)).module()
    for mine, expected in zip(exported(boxes, scores, classes), call(boxes, scores, classes), strict=True):
        assert torch.equal(mine, expected)


@pytest.fixture(scope="module")
def torchvision():
    try:
        import torchvision

        torch.ops.torchvision.nms  # noqa: B018
    except Exception as error:
        pytest.skip(f"torchvision does not load here: {error}")
    return torchvision


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 10, 300, 1000, 1001, 4000])
def test_is_torchvisions(torchvision, count, dtype):
    for seed, levels in enumerate((0, 50)):
        boxes, scores, classes = (torch.from_numpy(a) for a in problem(seed, count, dtype, 1000.0, levels))
        for threshold in (0.0, 0.3, 0.5, 0.7, -1.0, 1.0):
            assert torch.equal(pyseg.nms(boxes, scores, threshold), torchvision.ops.nms(boxes, scores, threshold))
            mine = pyseg.batched_nms(boxes, scores, classes, threshold)
            theirs = torchvision.ops.batched_nms(boxes, scores, classes, threshold)
            if levels and count > 1000:  # there it orders equal scores arbitrarily
                theirs = theirs.sort()[0]
                theirs = theirs[scores[theirs].sort(descending=True, stable=True)[1]]
            assert torch.equal(mine, theirs)


def test_eight_python_threads_at_once():
    import threading

    cases = [problem(i, 3000, side=500.0) for i in range(8)]
    pyseg.set_num_threads(2)
    expected = [pyseg.batched_nms(*case, 0.5) for case in cases]
    results: dict[int, np.ndarray] = {}

    def work(i):
        for _ in range(5):
            results[i] = pyseg.batched_nms(*cases[i], 0.5)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, kept in enumerate(expected):
        np.testing.assert_array_equal(results[i], kept)
