"""Masked cross attention (Cheng et al., "Masked-attention Mask Transformer", CVPR 2022, section 3.2.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyseg import _runtime
from pyseg._arrays import Array, is_torch, to_numpy
from pyseg._check import integer, real

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["mask_bitmap", "masked_attention"]

_MOST = 2**31 - 1
_FLOATS = ("float16", "bfloat16", "float32", "float64")


def mask_bitmap(mask_logits: Array, size: Sequence[int], *, threshold: float = 0.5) -> Any:
    """The masks of queries as bits, for :func:`masked_attention`'s ``attn_mask``: 1/32 of the float32 they would be.

    Args:
        mask_logits: [B, Q, h, w], any floating-point dtype.
        size: (height, width) of the keys in pixels: logits are resized to it as by torch's ``interpolate`` (bilinear,
            ``align_corners=False``), in its float32 operations.
        threshold: a pixel is inside where sigmoid(logit) >= threshold, from 0 to 1; 0.5 is logit >= 0. NaN is outside.

    Returns:
        int16 [B, Q, chunks, 16]: tiles of 4 x 4 pixels (bit 4 r + c is pixel (r, c)) in chunks of 4 x 4 tiles; for a
        height of 1, tiles of 16 pixels in chunks of 16 tiles.

    Raises:
        ValueError: a shape, size or threshold that does not fit. TypeError: no floating-point array.
    """
    op = "mask_bitmap"
    height, width = _size(op, size)
    if len(mask_logits.shape) != 4:
        raise ValueError(f"{op}: mask_logits must be [B, Q, h, w], got {list(mask_logits.shape)}")
    _floating(op, "mask_logits", mask_logits)
    if height * width > 0 and mask_logits.shape[2] * mask_logits.shape[3] == 0:
        raise ValueError(f"{op}: mask_logits must have at least one pixel, got {list(mask_logits.shape)}")
    limit = _logit(op, threshold)
    if is_torch(mask_logits):
        _dense(op, "mask_logits", mask_logits)
        _runtime.load_torch()
        return _torch_bitmap(mask_logits, height, width, limit)
    logits, back = to_numpy(op, "mask_logits", mask_logits)
    logits = np.ascontiguousarray(logits, dtype=np.float32)
    return back(_runtime.native().mask_bitmap(logits, height, width, limit))


def masked_attention(
    q: Array,
    k: Array,
    v: Array,
    mask_logits: Array | None = None,
    *,
    size: Sequence[int] | None = None,
    heads: int = 8,
    threshold: float = 0.5,
    empty: str = "all",
    attn_mask: Array | None = None,
) -> Any:
    """Attention of each query to the keys inside its own mask, in memory that does not grow with queries x keys.

    softmax(q k^T / sqrt(D / heads)) v over the keys of the mask, one mask for all heads. Keys outside of it do not
    count, whatever their values. Differentiable in q, k and v (once), not in the mask.

    Args:
        q: [B, Q, D], projected; a torch tensor or a NumPy array of float16, bfloat16, float32 or float64. Half
            precision is computed in float32 and rounded once.
        k, v: [B, S, D], projected, of q's dtype; S = height x width.
        mask_logits: [B, Q, h, w], resized and compared as by :func:`mask_bitmap`.
        size: (height, width) of the keys, in pixels. None: those of ``mask_logits``, or keys in a line.
        heads: into which D is cut.
        threshold: a pixel is inside where sigmoid(logit) >= threshold.
        empty: a query with an empty mask attends to "all" keys (Mask2Former), or gives "zero" (SDPA).
        attn_mask: instead of ``mask_logits``: bool [B, Q, S] or [B, 1, Q, S], True inside (as of SDPA), or what
            ``mask_bitmap`` gave for this ``size``.

    Returns:
        [B, Q, D], of q's dtype and device. Under autocast, of autocast's.

    Raises:
        ValueError: shapes that do not fit, or a value out of range. TypeError: dtypes or kinds of array that do not.
    """
    op = "masked_attention"
    parts = integer(op, "heads", heads, 1, _MOST)
    if empty not in ("all", "zero"):
        raise ValueError(f"{op}: empty must be 'all' or 'zero', got {empty!r}")
    if (mask_logits is None) == (attn_mask is None):
        raise ValueError(f"{op}: give either mask_logits or attn_mask, not both and not none")
    limit = _logit(op, threshold)
    _check_rows(op, q, k, v, parts)
    mask: Array = mask_logits if attn_mask is None else attn_mask
    height, width = _size_of(op, k, mask_logits, size)
    kinds = {is_torch(a) for a in (q, k, v, mask)}
    if len(kinds) > 1:
        raise TypeError(f"{op}: q, k, v and the mask must be all tensors, or none, got both")
    _check_mask(op, q, mask, attn_mask is None, height, width)
    if is_torch(q):
        return _on_torch(q, k, v, mask, height, width, parts, limit, empty == "all")
    return _on_numpy(q, k, v, mask, height, width, parts, limit, empty == "all")


def _floating(op: str, name: str, x: Array) -> str:
    dtype = str(x.dtype).removeprefix("torch.")
    if dtype.lstrip("<>=") not in ("f2", "f4", "f8", *_FLOATS):
        raise TypeError(f"{op}: {name} must be {', '.join(_FLOATS[:-1])} or {_FLOATS[-1]}, got {dtype}")
    return dtype


def _dense(op: str, name: str, x: Tensor) -> None:
    import torch

    if x.layout != torch.strided or x.device.type == "meta":
        raise TypeError(f"{op}: {name} must be a dense tensor with values, got {x.layout} on {x.device}")


def _size(op: str, size: Any) -> tuple[Any, Any]:
    if isinstance(size, (str, bytes)) or not hasattr(size, "__iter__"):
        raise TypeError(f"{op}: size must be (height, width), got {size!r}")
    values = list(size)
    if len(values) != 2:
        raise ValueError(f"{op}: size must be (height, width), got {len(values)} values")
    height, width = (integer(op, "size", value, 0, _MOST) for value in values)
    if height * width >= 2**48:
        raise ValueError(f"{op}: size must be of fewer than 2^48 pixels, got {height} x {width}")
    return height, width


def _size_of(op: str, k: Array, mask_logits: Array | None, size: Sequence[int] | None) -> tuple[Any, Any]:
    keys = k.shape[1]
    if size is not None:
        height, width = _size(op, size)
        if height * width != keys:
            raise ValueError(f"{op}: size must have as many pixels as k has rows, {keys}, got {height} x {width}")
        return height, width
    if mask_logits is None:
        return 1, keys
    if len(mask_logits.shape) != 4 or mask_logits.shape[2] * mask_logits.shape[3] != keys:
        raise ValueError(
            f"{op}: without size, mask_logits must be [B, Q, h, w] with h x w = {keys}, k's rows, got "
            f"{list(mask_logits.shape)}"
        )
    return mask_logits.shape[2], mask_logits.shape[3]


def _logit(op: str, threshold: float) -> float:
    value = real(op, "threshold", threshold)
    if not 0 <= value <= 1:
        raise ValueError(f"{op}: threshold must be 0 .. 1, got {value}")
    if value in (0, 1):
        return math.inf if value else -math.inf
    return math.log(value / (1 - value))


def _check_rows(op: str, q: Array, k: Array, v: Array, heads: int) -> None:
    for name, x in (("q", q), ("k", k), ("v", v)):
        if not hasattr(x, "shape") or not hasattr(x, "dtype"):
            raise TypeError(f"{op}: {name} must be an array, got {type(x).__name__}")
        if len(x.shape) != 3:
            raise ValueError(f"{op}: {name} must be [B, {'Q' if name == 'q' else 'S'}, D], got {list(x.shape)}")
    batch, _, channels = q.shape
    if k.shape[0] != batch or k.shape[2] != channels:
        raise ValueError(f"{op}: k must be [{batch}, S, {channels}] with B and D as in q, got {list(k.shape)}")
    if list(v.shape) != list(k.shape):
        raise ValueError(f"{op}: v must be of k's shape, {list(k.shape)}, got {list(v.shape)}")
    if channels % heads or channels == 0:
        raise ValueError(f"{op}: heads must divide D = {channels}, which must not be 0, got {heads}")
    for name, x in (("q", q), ("k", k), ("v", v)):
        _floating(op, name, x)


def _check_mask(op: str, q: Array, mask: Array, logits: bool, height: int, width: int) -> None:
    batch, queries = q.shape[0], q.shape[1]
    name = "mask_logits" if logits else "attn_mask"
    if not hasattr(mask, "shape") or not hasattr(mask, "dtype"):
        raise TypeError(f"{op}: {name} must be an array, got {type(mask).__name__}")
    shape = list(mask.shape)
    if logits:
        _floating(op, name, mask)
        if len(shape) != 4 or shape[:2] != [batch, queries]:
            raise ValueError(f"{op}: mask_logits must be [{batch}, {queries}, h, w] as q is, got {shape}")
        if height * width > 0 and shape[2] * shape[3] == 0:
            raise ValueError(f"{op}: mask_logits must have at least one pixel, got {shape}")
        return
    dtype = str(mask.dtype).removeprefix("torch.")
    if dtype == "int16":
        chunks = chunks_of(height, width)
        if shape != [batch, queries, chunks, 16]:
            raise ValueError(
                f"{op}: attn_mask must be mask_bitmap's of this size, [{batch}, {queries}, {chunks}, 16], got {shape}"
            )
    elif dtype != "bool":
        raise TypeError(f"{op}: attn_mask must be bool, or mask_bitmap's int16, got {dtype}")
    elif shape not in ([batch, queries, height * width], [batch, 1, queries, height * width]):
        raise ValueError(
            f"{op}: attn_mask must be [{batch}, {queries}, {height * width}] or [{batch}, 1, {queries}, "
            f"{height * width}], got {shape}"
        )


def chunks_of(height: Any, width: Any) -> Any:
    """Chunks of 256 keys, of whole tiles."""
    if height == 1:
        return (width + 255) // 256
    return ((height + 15) // 16) * ((width + 15) // 16)


def _torch_bitmap(mask_logits: Tensor, height: int, width: int, limit: float) -> Tensor:
    import torch

    logits = mask_logits.detach().to("cpu", torch.float32)
    bits: Tensor = torch.ops.pyseg.mask_bitmap(logits, height, width, limit)
    return bits.to(mask_logits.device)


def _on_torch(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, height: int, width: int, heads: int, limit: float, empty_all: bool
) -> Tensor:
    import torch

    _runtime.load_torch()
    for name, x in (("q", q), ("k", k), ("v", v), ("the mask", mask)):
        _dense("masked_attention", name, x)
    kind = q.device.type
    if torch.is_autocast_enabled(kind) and q.dtype != torch.float64:
        dtype = torch.get_autocast_dtype(kind)
        q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    if q.dtype != k.dtype or q.dtype != v.dtype:
        raise TypeError(f"masked_attention: q, k and v must be of one dtype, got {q.dtype}, {k.dtype} and {v.dtype}")
    if mask.dtype == torch.bool:
        bits = torch.ops.pyseg.mask_bits((mask[:, 0] if mask.dim() == 4 else mask).cpu(), height, width)
    elif mask.dtype == torch.int16:
        bits = mask.cpu()
    else:
        bits = _torch_bitmap(mask, height, width, limit).cpu()
    working = torch.float64 if q.dtype == torch.float64 else torch.float32
    rows = [x.to("cpu", working) for x in (q, k, v)]
    out: Tensor = torch.ops.pyseg.masked_attention(*rows, bits, height, width, heads, empty_all)[0]
    return out.to(q.device, q.dtype)


def _on_numpy(
    q: Array, k: Array, v: Array, mask: Array, height: int, width: int, heads: int, limit: float, empty_all: bool
) -> Any:
    op = "masked_attention"
    native = _runtime.native()
    rows, back = to_numpy(op, "q", q)
    others = [to_numpy(op, name, x)[0] for name, x in (("k", k), ("v", v))]
    if any(x.dtype != rows.dtype for x in others):
        raise TypeError(
            f"{op}: q, k and v must be of one dtype, got {rows.dtype}, {others[0].dtype}, {others[1].dtype}"
        )
    marks = to_numpy(op, "the mask", mask)[0]
    if marks.dtype == np.bool_:
        bits = native.mask_bits(np.ascontiguousarray(marks[:, 0] if marks.ndim == 4 else marks), height, width)
    elif marks.dtype == np.int16:
        bits = np.ascontiguousarray(marks)
    else:
        bits = native.mask_bitmap(np.ascontiguousarray(marks, dtype=np.float32), height, width, limit)
    working = np.float64 if rows.dtype == np.float64 else np.float32
    dense = [np.ascontiguousarray(x, dtype=working) for x in (rows, *others)]
    return back(native.masked_attention(*dense, bits, height, width, heads, empty_all).astype(rows.dtype, copy=False))
