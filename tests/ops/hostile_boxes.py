"""roi_align, nms, batched_nms and paste_masks: wrong shapes, types and options, and without the checks in Python."""

from __future__ import annotations

import numpy as np
import torch
from hostile import case, huge, kept

import pyseg
from pyseg import _runtime

ALIENS = (None, "abc", b"abc", 3, int, [[1.0]], object())


def _array(*shape, dtype="float32"):
    return kept(np.random.default_rng(0).random(shape).astype(dtype))


def _rows(count=4, columns=4):
    values = np.random.default_rng(1).random((count, columns)).astype("f4")
    if columns == 5:
        values[:, 0] = 0
        values[:, 3:] += 3
    else:
        values[:, 2:] += 3
    return kept(values)


def roi_align_cases():
    call = pyseg.roi_align
    case("roi_align: plain", lambda: call(_array(2, 3, 8, 9), _rows(4, 5), 3), "works")
    for shape in ((), (3,), (8, 9), (3, 8, 9), (1, 2, 3, 8, 9), (2, 3, 0, 9), (2, 3, 8, 0)):
        case(f"roi_align: features {shape}", lambda s=shape: call(_array(*s), _rows(4, 5), 3))
    case("roi_align: features without channels", lambda: call(_array(2, 0, 8, 9), _rows(4, 5), 3), "works")
    case("roi_align: features of no image", lambda: call(_array(0, 3, 8, 9), _rows(4, 5), 3))
    case("roi_align: of no image, no boxes", lambda: call(_array(0, 3, 8, 9), _rows(0, 5), 3), "works")
    for shape in ((), (5,), (4, 4), (4, 6), (1, 4, 5), (0, 4)):
        case(f"roi_align: boxes {shape}", lambda s=shape: call(_array(2, 3, 8, 9), _array(*s), 3))
    for boxes in ([], [_rows()], [_rows()] * 3, [_rows(4, 5)] * 2, [None] * 2, [[1.0, 2]] * 2):
        shapes = str([getattr(b, "shape", b) for b in boxes])
        case(f"roi_align: a list of {shapes}", lambda b=boxes: call(_array(2, 3, 8, 9), b, 3))
    for dtype in ("bool", "uint8", "int64", "complex64", "longdouble", "object", "U1", "M8[s]"):
        case(f"roi_align: features of {dtype}", lambda d=dtype: call(np.zeros((2, 3, 8, 9), d), _rows(4, 5), 3))
        case(f"roi_align: boxes of {dtype}", lambda d=dtype: call(_array(2, 3, 8, 9), np.zeros((4, 5), d), 3))
    for i, alien in enumerate(ALIENS):
        case(f"roi_align: {alien!r:.20} as features ({i})", lambda a=alien: call(a, _rows(4, 5), 3))
        case(f"roi_align: {alien!r:.20} as boxes ({i})", lambda a=alien: call(_array(2, 3, 8, 9), a, 3))
        case(f"roi_align: tensor, {alien!r:.20} as boxes ({i})", lambda a=alien: call(torch.rand(2, 3, 8, 9), a, 3))
    for value in (np.nan, np.inf, -np.inf, -1.0, 2.0, 1e30, -1e30):
        rows = _rows(4, 5).copy()
        rows[2, 0] = value
        case(f"roi_align: place {value}", lambda r=rows: call(_array(2, 3, 8, 9), r, 3))
    options = {
        "output_size": (
            [0, -1, 2.5, "3", None, (1, 2, 3), (1,), (0, 3), (3, None), 2**31, 10**30],
            [1, (2, 3), [3, 2]],
        ),
        "spatial_scale": ([0, -1, np.nan, np.inf, "1", None, 10**400], [5e-324, 1e-30, 1e30, 1e300, np.float32(0.5)]),
        "sampling_ratio": ([1.5, "2", None, 1025, 10**30, True], [0, -1, -100, 1024, np.int8(2)]),
        "aligned": (["yes", 2, None], [True, 0, np.True_]),
    }
    for option, (wrong, fine) in options.items():
        for must, values in (("raises", wrong), ("works", fine)):
            for i, value in enumerate(values):
                o = {"output_size": 2} | {option: value}
                for kind in (np.asarray, torch.from_numpy):
                    name = f"roi_align: {option}={value!r:.30} of {kind.__name__} ({i})"
                    case(name, lambda o=o, k=kind: call(k(_array(2, 3, 8, 9)), k(_rows(2, 5)), **o), must)
    case("roi_align: an adaptive grid of 10^30", lambda: call(_array(1, 3, 8, 9), _rows(4, 5) * 1e30, 3), "works")
    case("roi_align: zero strides", lambda: call(huge(2, 3, 8, 9, dtype="f4"), huge(4, 5, dtype="f4"), 3), "works")
    tensor = torch.rand(2, 3, 8, 9)
    rows = torch.from_numpy(_rows(4, 5))
    case("roi_align: sparse", lambda: call(tensor.to_sparse(), rows, 3))
    case("roi_align: of no memory", lambda: call(tensor.to("meta"), rows, 3))
    case("roi_align: boxes of no memory", lambda: call(tensor, rows.to("meta"), 3))
    case("roi_align: NumPy boxes beside a tensor", lambda: call(tensor, rows.numpy(), 3))
    _roi_align_bypass(tensor, rows)


def _roi_align_bypass(tensor, rows):
    _runtime.torch_ops()
    op = torch.ops.pyseg.roi_align
    back = torch.ops.pyseg.roi_align_backward
    plain = (3, 3, 1.0, 2, True)
    case("torch.ops.roi_align: plain", lambda: op(tensor, rows, *plain), "works")
    wrong = [(0, 3, 1.0, 2, True), (-1, 3, 1.0, 2, True), (3, 2**40, 1.0, 2, True), (3, 3, 0.0, 2, True),
             (3, 3, float("nan"), 2, True), (3, 3, float("inf"), 2, True), (3, 3, 1.0, 2**40, True),
             (3, 3, 1.0, 1025, True)]  # fmt: skip
    for o in wrong:
        case(f"torch.ops.roi_align: {o}", lambda o=o: op(tensor, rows[:0], *o))
    for shape in ((3, 8, 9), (2, 3, 0, 9), (2, 3, 8, 0), (1, 2, 3, 8, 9)):
        case(f"torch.ops.roi_align: {shape}", lambda s=shape: op(torch.rand(s), rows, *plain))
    for shape in ((4, 4), (5,), (1, 4, 5)):
        case(f"torch.ops.roi_align: boxes {shape}", lambda s=shape: op(tensor, torch.rand(s), *plain))
    case("torch.ops.roi_align: float64 boxes", lambda: op(tensor, rows.double(), *plain))
    case("torch.ops.roi_align: float64 features", lambda: op(tensor.double(), rows, *plain))
    case("torch.ops.roi_align: int64", lambda: op(tensor.long(), rows, *plain))
    gradient = torch.rand(4, 3, 3, 3)
    case("torch.ops.roi_align_backward: plain", lambda: back(gradient, rows, 2, 8, 9, 1.0, 2, True), "works")
    for o in ((2, 0, 9), (2, 8, 0), (-1, 8, 9), (2, -8, 9), (0, 8, 9), (2, 2**40, 1)):
        case(f"torch.ops.roi_align_backward: {o}", lambda o=o: back(gradient, rows, *o, 1.0, 2, True))
    case("torch.ops.roi_align_backward: fewer boxes", lambda: back(gradient, rows[:3], 2, 8, 9, 1.0, 2, True))
    case("torch.ops.roi_align_backward: no bins", lambda: back(gradient[..., :0], rows, 2, 8, 9, 1.0, 2, True))
    native = _runtime.native().roi_align
    case("native roi_align: plain", lambda: native(_array(2, 3, 8, 9), _rows(4, 5), *plain, False), "works")
    case("native roi_align: not in order", lambda: native(_array(2, 3, 8, 9)[..., ::2], _rows(4, 5), *plain, False))
    case("native roi_align: boxes not in order", lambda: native(_array(2, 3, 8, 9), _rows(4, 10)[:, ::2], *plain, True))
    case("native roi_align: float64", lambda: native(_array(2, 3, 8, 9, dtype="f8"), _rows(4, 5), *plain, False))
    case("native roi_align: byte-swapped", lambda: native(_array(2, 3, 8, 9, dtype=">f4"), _rows(4, 5), *plain, False))
    for o in wrong:
        case(f"native roi_align: {o}", lambda o=o: native(_array(2, 3, 8, 9), _rows(0, 5), *o, False))


def nms_cases():
    scores, classes = np.linspace(0, 1, 4, dtype="f4"), np.arange(4)
    for op in ("nms", "batched_nms"):

        def call(boxes, scores, threshold, op=op, classes=classes):
            if op == "nms":
                return pyseg.nms(boxes, scores, threshold)
            is_tensor = isinstance(boxes, torch.Tensor)
            kinds = torch.from_numpy(classes) if is_tensor else classes
            return pyseg.batched_nms(boxes, scores, kinds, threshold)

        case(f"{op}: plain", lambda c=call: c(_rows(), scores, 0.5), "works")
        for shape in ((), (4,), (4, 5), (4, 3), (1, 4, 4), (3, 4), (5, 4), (0, 4)):
            case(f"{op}: boxes {shape}", lambda c=call, s=shape: c(_array(*s), scores, 0.5))
        for shape in ((), (4, 1), (3,), (5,), (0,)):
            case(f"{op}: scores {shape}", lambda c=call, s=shape: c(_rows(), _array(*s), 0.5))
        for dtype in ("bool", "int64", "complex64", "longdouble", "object", "U1"):
            case(f"{op}: boxes of {dtype}", lambda c=call, d=dtype: c(np.zeros((4, 4), d), scores, 0.5))
            case(f"{op}: scores of {dtype}", lambda c=call, d=dtype: c(_rows(), np.zeros(4, d), 0.5))
        for i, alien in enumerate(ALIENS):
            case(f"{op}: {alien!r:.20} as boxes ({i})", lambda c=call, a=alien: c(a, scores, 0.5))
            case(f"{op}: {alien!r:.20} as scores ({i})", lambda c=call, a=alien: c(_rows(), a, 0.5))
            tensors = torch.from_numpy(_rows())
            case(f"{op}: tensor, {alien!r:.20} as scores ({i})", lambda c=call, a=alien, t=tensors: c(t, a, 0.5))
        for value in (np.nan, "0.5", None, 1j, [0.5]):
            case(f"{op}: threshold {value!r}", lambda c=call, v=value: c(_rows(), scores, v))
        for value in (-1, 0, 2, np.inf, -np.inf, 10**400, 1e300, -1e300, 5e-324):
            case(f"{op}: threshold {value!r:.20}", lambda c=call, v=value: c(_rows(), scores, v), "works")
        case(f"{op}: of 2^40", lambda c=call: c(huge(2**40, 4, dtype="f4"), huge(2**40, dtype="f4"), 0.5))
    for value in (None, [0, 1], "abcd", np.zeros(4), np.zeros(4, bool), np.zeros(3, int), np.zeros((4, 1), int)):
        case(
            f"batched_nms: idxs {str(value).split()} {type(value).__name__} {getattr(value, 'dtype', '')}",
            lambda v=value: pyseg.batched_nms(_rows(), scores, v, 0.5),
        )
    for value in (2**63 - 1, -(2**63), -1):
        wild = np.array([0, value, value, 1])
        case(f"batched_nms: a class {value}", lambda w=wild: pyseg.batched_nms(_rows(), scores, w, 0.5), "works")
        many = np.resize(wild, 1500)
        case(
            f"batched_nms: a class {value} of many",
            lambda m=many: pyseg.batched_nms(_rows(1500), np.linspace(0, 1, 1500, dtype="f4"), m, 0.5),
            "works",
        )
    _nms_bypass(scores, classes)


def _nms_bypass(scores, classes):
    _runtime.torch_ops()
    op, native = torch.ops.pyseg.nms, _runtime.native().nms
    boxes, s, c = torch.from_numpy(_rows()), torch.from_numpy(scores), torch.from_numpy(classes)
    case("torch.ops.nms: plain", lambda: op(boxes, s, 0.5, c), "works")
    case("native nms: plain", lambda: native(_rows(), scores, 0.5, classes), "works")
    wrong = {
        "boxes": (boxes[:, :3], s, 0.5, c), "fewer boxes": (boxes[:3], s, 0.5, c),
        "scores": (boxes, s[:, None], 0.5, c),
        "float64 scores": (boxes, s.double(), 0.5, c), "int64": (boxes.long(), s.long(), 0.5, c),
        "nan": (boxes, s, float("nan"), c), "fewer classes": (boxes, s, 0.5, c[:3]),
        "int32 classes": (boxes, s, 0.5, c.int()), "classes": (boxes, s, 0.5, c[:, None]),
    }  # fmt: skip
    for name, arguments in wrong.items():
        case(f"torch.ops.nms: {name}", lambda a=arguments: op(*a))
        if name != "int32 classes":  # pybind11 converts those
            arrays = [a.numpy() if isinstance(a, torch.Tensor) else a for a in arguments]
            case(f"native nms: {name}", lambda a=arrays: native(*a))
    case("native nms: not in order", lambda: native(_rows(4, 8)[:, ::2], scores, 0.5, None))


def paste_masks_cases():
    call = pyseg.paste_masks
    size = (20, 30)
    case("paste_masks: plain", lambda: call(_array(4, 7, 7), _rows(), size), "works")
    case("paste_masks: with an axis of one", lambda: call(_array(4, 1, 7, 7), _rows(), size), "works")
    for shape in ((), (7, 7), (4, 2, 7, 7), (4, 0, 7), (4, 7, 0), (3, 7, 7), (0, 7, 7), (1, 4, 1, 7, 7)):
        case(f"paste_masks: masks {shape}", lambda s=shape: call(_array(*s), _rows(), size))
    case("paste_masks: masks of 2^25 columns", lambda: call(huge(4, 1, 2**25, dtype="f4"), _rows(), size))
    for shape in ((), (4,), (4, 5), (4, 3), (1, 4, 4), (3, 4), (0, 4)):
        case(f"paste_masks: boxes {shape}", lambda s=shape: call(_array(4, 7, 7), _array(*s), size))
    for dtype in ("bool", "uint8", "int64", "complex64", "longdouble", "object", "U1"):
        case(f"paste_masks: masks of {dtype}", lambda d=dtype: call(np.zeros((4, 7, 7), d), _rows(), size))
        case(f"paste_masks: boxes of {dtype}", lambda d=dtype: call(_array(4, 7, 7), np.zeros((4, 4), d), size))
    for i, alien in enumerate(ALIENS):
        case(f"paste_masks: {alien!r:.20} as masks ({i})", lambda a=alien: call(a, _rows(), size))
        case(f"paste_masks: {alien!r:.20} as boxes ({i})", lambda a=alien: call(_array(4, 7, 7), a, size))
    for value in (np.nan, np.inf, -np.inf, 3e38):
        masks = np.full((4, 7, 7), value, "f4")
        case(f"paste_masks: masks of {value}", lambda m=masks: call(m, _rows(), size), "works")
    for value in (-1, (3,), (1, 2, 3), (2.5, 3), "ab", None, (2**31, 1), (-1, 5)):
        case(f"paste_masks: image_size {value!r}", lambda v=value: call(_array(4, 7, 7), _rows(), v))
    for value in (0, (0, 5), (5, 0), 9, [3, 4]):
        case(f"paste_masks: image_size {value!r}", lambda v=value: call(_array(4, 7, 7), _rows(), v), "works")
    for value in (np.nan, "0.5", 1j, [0.5]):
        case(f"paste_masks: threshold {value!r}", lambda v=value: call(_array(4, 7, 7), _rows(), size, v))
    for value in (None, -np.inf, np.inf, 10**400, 0):
        case(f"paste_masks: threshold {value!r:.20}", lambda v=value: call(_array(4, 7, 7), _rows(), size, v), "works")
    for value in (None, "", "Torchvision", 1, b"torchvision", ["torchvision"]):
        case(f"paste_masks: {value!r}", lambda v=value: call(_array(4, 7, 7), _rows(), size, convention=v))
    _paste_masks_bypass()


def _paste_masks_bypass():
    _runtime.torch_ops()
    op, native = torch.ops.pyseg.paste_masks, _runtime.native().paste_masks
    masks, boxes = torch.rand(4, 7, 7), torch.from_numpy(_rows())
    wrong = {
        "masks": (masks[0], boxes, 20, 30), "no rows": (masks[:, :0], boxes, 20, 30),
        "boxes": (masks, boxes[:3], 20, 30),
        "columns": (masks, boxes[:, :3], 20, 30), "float64 masks": (masks.double(), boxes, 20, 30),
        "int64 boxes": (masks, boxes.long(), 20, 30), "a negative size": (masks, boxes, -1, 30),
        "2^40 rows": (masks[:0], boxes[:0], 2**40, 1),
    }  # fmt: skip
    for name, arguments in wrong.items():
        for whole in (False, True):
            case(f"torch.ops.paste_masks: {name} {whole}", lambda a=arguments, w=whole: op(*a, 0.5, w))
            arrays = [a.numpy() if isinstance(a, torch.Tensor) else a for a in arguments]
            case(f"native paste_masks: {name} {whole}", lambda a=arrays, w=whole: native(*a, 0.5, w))
