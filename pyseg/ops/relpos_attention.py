"""Attention with decomposed relative positions (Li et al., "MViTv2", CVPR 2022, section 4.1), that of the image encoder
of "Segment Anything" (Kirillov et al., ICCV 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg import _runtime
from pyseg._arrays import Array, is_torch, to_numpy
from pyseg._check import real

__all__ = ["relpos_attention", "relpos_attention_qkv"]

_OP = "relpos_attention"
_MOST = 2**24  # pixels


def relpos_attention(
    q: Array, k: Array, v: Array, rel_h: Array, rel_w: Array, size: Sequence[int], *, scale: float | None = None
) -> Any:
    """Softmax attention among the pixels of a map, with a bias for the rows and one for the columns between two pixels.

    out_i = sum_j softmax_j(scale q_i k_j + q_i rel_h[y_i - y_j + H - 1] + q_i rel_w[x_i - x_j + W - 1]) v_j

    Args:
        q, k, v: [B, heads, H W, d], the pixels row by row; with any strides, of which none costs a copy.
        rel_h: [2 H - 1, d], rel_w: [2 W - 1, d]. A table of another length is first brought to that one by linear
            interpolation, as SAM does for other sizes of image. In half precision or float32 unless q is float64.
        size: (H, W). Windows are a batch: B is windows times images.
        scale: of q k alone, not of the biases; None is d ** -0.5.

    Returns:
        [B, heads, H W, d] of q's dtype and kind. (A tensor's memory is [B, H W, heads, d], as projections want it.)

    Raises:
        ValueError: shapes that do not fit, an empty map or head, 2^24 pixels or more, a scale that is not finite.
        TypeError: dtypes other than float32, float64, float16 and torch's bfloat16; q, k, v not of one dtype; float64
            beside others.

    No array of (H W)^2 elements is made: beside the result there are a head's keys and values for each thread.
    float64 is computed in float64, all others in float32, the result rounded once. Bits are the same for any number of
    threads, NumPy and torch, AVX2 and AVX-512. Tensors have first derivatives in everything but size and scale,
    deterministic as well; threads share the backward pass by heads. Tensors on another device are computed there by
    ``scaled_dot_product_attention`` with the whole bias.
    """
    height, width = _check("q", q, 4, 2, rel_h, rel_w, size)
    for name, x in (("k", k), ("v", v)):
        if not hasattr(x, "shape") or list(x.shape) != list(q.shape):
            raise ValueError(f"{_OP}: {name} must be {list(q.shape)} as q, got {list(getattr(x, 'shape', []))}")
    factor = _scale(scale, q.shape[3])
    if is_torch(q):
        from pyseg.ops._relpos_torch import run

        return run(q, k, v, rel_h, rel_w, height, width, factor)
    arrays = [to_numpy(_OP, name, x)[0] for name, x in (("q", q), ("k", k), ("v", v))]
    result = _on_numpy([x.transpose(0, 2, 1, 3) for x in arrays], rel_h, rel_w, height, width, factor)
    return to_numpy(_OP, "q", q)[1](np.ascontiguousarray(result.transpose(0, 2, 1, 3)))


def relpos_attention_qkv(
    qkv: Array, rel_h: Array, rel_w: Array, size: Sequence[int], *, scale: float | None = None
) -> Any:
    """:func:`relpos_attention` of what SAM's projection gives, without a copy in either direction or pass.

    Args:
        qkv: [B, H W, 3, heads, d]: q, k, v of each pixel.
        rel_h, rel_w, size, scale: as there.

    Returns:
        [B, H W, heads, d], contiguous.

    Raises: as there.
    """
    height, width = _check("qkv", qkv, 5, 1, rel_h, rel_w, size)
    if qkv.shape[2] != 3:
        raise ValueError(f"{_OP}: qkv must be [B, H W, 3, heads, d], got {list(qkv.shape)}")
    factor = _scale(scale, qkv.shape[4])
    if is_torch(qkv):
        from pyseg.ops._relpos_torch import run_packed

        return run_packed(qkv, rel_h, rel_w, height, width, factor)
    array, back = to_numpy(_OP, "qkv", qkv)
    return back(_on_numpy([array[:, :, i] for i in range(3)], rel_h, rel_w, height, width, factor))


def _check(
    name: str, x: Array, rank: int, pixels: int, rel_h: Array, rel_w: Array, size: Sequence[int]
) -> tuple[int, int]:
    """Height and width; sizes may be symbolic."""
    rule = "[B, heads, H W, d]" if rank == 4 else "[B, H W, 3, heads, d]"
    if not hasattr(x, "shape"):
        raise TypeError(f"{_OP}: {name} must be a NumPy, CuPy or torch array, got {type(x).__name__}")
    if len(x.shape) != rank:
        raise ValueError(f"{_OP}: {name} must be {rule}, got {list(x.shape)}")
    height, width = _pair(size)
    if x.shape[pixels] != height * width:
        raise ValueError(f"{_OP}: {name} must have {height} x {width} = {height * width} pixels, got {x.shape[pixels]}")
    if x.shape[-1] < 1 or x.shape[-1] > 65536:
        raise ValueError(f"{_OP}: {name} must have 1 .. 65536 channels a head, got {x.shape[-1]}")
    for of, table in (("rel_h", rel_h), ("rel_w", rel_w)):
        if not hasattr(table, "shape"):
            raise TypeError(f"{_OP}: {of} must be an array as {name} is, got {type(table).__name__}")
        if len(table.shape) != 2 or table.shape[0] < 1 or table.shape[1] != x.shape[-1]:
            raise ValueError(
                f"{_OP}: {of} must be [length, {x.shape[-1]}], with the channels of a head, got {list(table.shape)}"
            )
        if is_torch(table) != is_torch(x):
            raise TypeError(f"{_OP}: {of} must be of the same kind of array as {name}, got {type(table).__name__}")
    return height, width


def _pair(size: Sequence[int]) -> tuple[int, int]:
    if isinstance(size, (str, bytes)) or not hasattr(size, "__len__") or len(size) != 2:
        raise ValueError(f"{_OP}: size must be (height, width), got {size!r}")
    for value in size:
        # The order is for torch.compile, which knows of its symbols that they are integers, and no more.
        if isinstance(value, bool) or not (isinstance(value, int) or hasattr(value, "__index__")):
            raise TypeError(f"{_OP}: size must be two integers, (height, width), got {value!r}")
    height, width = size
    if height < 1 or width < 1 or height * width > _MOST:
        raise ValueError(f"{_OP}: size must be at least 1 x 1, and at most 2^24 pixels, got {height} x {width}")
    return height, width


def _scale(scale: float | None, channels: int) -> float:
    if scale is None:
        return float(channels**-0.5)
    value = real(_OP, "scale", scale)
    if value - value != 0:
        raise ValueError(f"{_OP}: scale must be finite, got {value}")
    return value


def _table(name: str, table: Array, size: int, wide: Any) -> NDArray[Any]:
    """The table in float64 or float32, of the length that the size needs."""
    array = to_numpy(_OP, name, table)[0]
    if array.dtype not in (np.float16, np.float32, np.float64) or (array.dtype == np.float64) != (wide == np.float64):
        raise TypeError(f"{_OP}: {name} must be float64 where q is, else float16 or float32, got {array.dtype}")
    array = array.astype(wide)
    length, wanted = array.shape[0], 2 * size - 1
    if length != wanted:
        # The centre of element i of the wanted ones, in elements of the given ones; beyond the ends, the ends.
        at = np.clip((np.arange(wanted) + 0.5) * (length / wanted) - 0.5, 0, length - 1)
        low = np.minimum(at.astype(np.int64), max(length - 2, 0))
        weight = (at - low).astype(wide)[:, None]
        array = array[low] * (1 - weight) + array[np.minimum(low + 1, length - 1)] * weight
    return np.ascontiguousarray(array, wide)


def _on_numpy(
    arrays: list[NDArray[Any]], rel_h: Array, rel_w: Array, height: int, width: int, scale: float
) -> NDArray[Any]:
    dtype = arrays[0].dtype
    for name, x in zip(("q", "k", "v"), arrays, strict=True):
        if x.dtype not in (np.float16, np.float32, np.float64):
            raise TypeError(f"{_OP}: {name} must be float16, float32 or float64, got {x.dtype}")
        if x.dtype != dtype:
            raise TypeError(f"{_OP}: q, k and v must be of one dtype, got {x.dtype} beside {dtype}")
    wide = np.float64 if dtype == np.float64 else np.float32
    tables = [_table("rel_h", rel_h, height, wide), _table("rel_w", rel_w, width, wide)]
    whole = [x if all(s % x.itemsize == 0 for s in x.strides) else x.copy() for x in arrays]
    result: NDArray[Any] = _runtime.native().relpos_attention(*whole, *tables, scale)
    return result
