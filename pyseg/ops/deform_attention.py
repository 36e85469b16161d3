"""Multi-scale deformable attention (Zhu et al., "Deformable DETR", ICLR 2021): the attention of Deformable DETR's heirs
and of the pixel decoders of Mask2Former and OneFormer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyseg import _runtime
from pyseg._arrays import Array, is_torch, to_numpy

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["deform_attention", "deform_attention_fused", "ms_deform_attn"]

_OP = "deform_attention"


def deform_attention(
    value: Array,
    spatial_shapes: Array | Sequence[tuple[int, int]],
    sampling_locations: Array,
    attention_weights: Array,
    *,
    level_start_index: Array | Sequence[int] | None = None,
    im2col_step: int | None = None,
) -> Any:
    """Weighted sums of bilinear samples of feature maps of several sizes, for each query and head.

    out[b, q, m] = sum over l, p of attention_weights[b, q, m, l, p] * (map l of head m at
    sampling_locations[b, q, m, l, p]).

    Args:
        value: [B, S, M, D]: M heads of D channels at the S pixels of all L maps, row by row, map after map.
        spatial_shapes: L pairs (height, width); int64 [L, 2] where it is a tensor.
        sampling_locations: [B, Q, M, L, P, 2], (x, y) from 0 to 1 over the map's width and height. The map is bilinear
            between its pixels' centres and zero outside, as ``torch.nn.functional.grid_sample`` is by its defaults; a
            location that is a pixel or more outside, infinite or NaN gives nothing and gets no gradient.
        attention_weights: [B, Q, M, L, P], any finite numbers.
        level_start_index: first pixel of each map, [L]; None: one after the other, which must then be all of S.
        im2col_step: what other implementations have it for is not needed; ignored.

    Returns:
        [B, Q, M * D] of value's dtype and kind.

    Raises:
        ValueError: shapes that do not fit, a map that is not within S, 2^30 pixels or more.
        TypeError: dtypes other than float32, float64, float16 and torch's bfloat16, of which float64 stands only beside
            float64.

    Computed in float64 where that is, else in float32 whatever the dtypes, which may differ: half-precision values
    beside float32 locations are usual under autocast, which therefore changes nothing here. Bits are the same for any
    number of threads, any instruction set, NumPy and torch. Torch tensors have gradients with respect to value,
    locations and weights, deterministic as well. Tensors on another device than the CPU are computed there, by
    ``grid_sample``: that needs no transfer, and no synchronisation where spatial_shapes is a list. CuPy arrays go to
    the CPU and back.
    """
    if is_torch(value):
        from pyseg.ops._deform_torch import run

        return run(value, spatial_shapes, level_start_index, None, sampling_locations, attention_weights)
    return _on_numpy(value, spatial_shapes, level_start_index, None, sampling_locations, attention_weights)


def deform_attention_fused(
    value: Array,
    spatial_shapes: Array | Sequence[tuple[int, int]],
    reference_points: Array,
    offsets: Array,
    weight_logits: Array,
    *,
    level_start_index: Array | Sequence[int] | None = None,
) -> Any:
    """:func:`deform_attention` from what a network gives: softmax and arithmetic of locations take place in the kernel.

    Args:
        value, spatial_shapes, level_start_index: as there.
        reference_points: [B, Q, L, 2], (x, y) from 0 to 1, or boxes [B, Q, L, 4], (x, y, width, height).
        offsets: [B, Q, M, L, P, 2], (x, y) in pixels of the map, to be added to the reference point; beside boxes in
            P-ths of half the box's size.
        weight_logits: [B, Q, M, L, P]; weights are their softmax over L and P together.

    Returns, Raises: as there; gradients are with respect to value, reference points, offsets and logits.
    """
    if reference_points is None:
        raise TypeError(f"{_OP}: reference_points must be [B, Q, L, 2] or [B, Q, L, 4], got None")
    if is_torch(value):
        from pyseg.ops._deform_torch import run

        return run(value, spatial_shapes, level_start_index, reference_points, offsets, weight_logits)
    return _on_numpy(value, spatial_shapes, level_start_index, reference_points, offsets, weight_logits)


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int = 64,
) -> Any:
    """:func:`deform_attention` with the official extension's order of arguments (``MSDeformAttnFunction.apply``)."""
    return deform_attention(
        value, spatial_shapes, sampling_locations, attention_weights, level_start_index=level_start_index
    )


def check_shapes(
    value: Sequence[int], levels: int, reference: Sequence[int] | None, places: Sequence[int], weights: Sequence[int]
) -> None:
    """The rules of shapes, in the user's words. Sizes may be symbolic."""
    if len(value) != 4:
        raise ValueError(f"{_OP}: value must be [B, S, M, D], got {list(value)}")
    batch, pixels, heads, _ = value
    if pixels >= 2**30:
        raise ValueError(f"{_OP}: value must have fewer than 2^30 pixels, got {pixels}")
    name = "sampling_locations" if reference is None else "offsets"
    if len(places) != 6 or places[0] != batch or places[2] != heads or places[3] != levels or places[5] != 2:
        raise ValueError(
            f"{_OP}: {name} must be [B, Q, M, L, P, 2] with B = {batch}, M = {heads} as value has and L = {levels} as "
            f"spatial_shapes, got {list(places)}"
        )
    if len(weights) != 5 or any(a != b for a, b in zip(weights, places, strict=False)):
        name = "attention_weights" if reference is None else "weight_logits"
        raise ValueError(f"{_OP}: {name} must be {list(places[:5])}, got {list(weights)}")
    if reference is not None and (
        len(reference) != 4
        or reference[0] != batch
        or reference[1] != places[1]
        or reference[2] != levels
        or reference[3] not in (2, 4)
    ):
        raise ValueError(
            f"{_OP}: reference_points must be [B, Q, L, 2] or [B, Q, L, 4] with B = {batch}, Q = {places[1]}, "
            f"L = {levels}, got {list(reference)}"
        )


def _integers(name: str, x: Any, rank: int) -> NDArray[np.int64]:
    rule = "[L, 2] (height, width)" if rank == 2 else "[L]"
    try:
        array = np.asarray(to_numpy(_OP, name, x)[0] if is_torch(x) else x)
    except (ValueError, OverflowError):
        raise ValueError(f"{_OP}: {name} must be {rule}, got {x!r}") from None
    if array.dtype.kind not in "iu" and not (array.size == 0 and array.dtype.kind == "f"):
        raise TypeError(f"{_OP}: {name} must be integers, {rule}, got {array.dtype}")
    if array.size == 0:
        array = array.reshape(0, 2) if rank == 2 else array.reshape(0)
    if array.ndim != rank or (rank == 2 and array.shape[1] != 2):
        raise ValueError(f"{_OP}: {name} must be {rule}, got {list(array.shape)}")
    if array.dtype == np.uint64 and array.size and int(array.max()) >= 2**63:
        raise ValueError(f"{_OP}: {name} must be within int64, got {array.max()}")
    return np.ascontiguousarray(array, np.int64)


def _on_numpy(value: Any, shapes: Any, starts: Any, reference: Any, places: Any, weights: Any) -> Any:
    """Points are the offsets beside reference points, else locations."""
    array, back = to_numpy(_OP, "value", value)
    sizes = _integers("spatial_shapes", shapes, 2)
    firsts = None if starts is None else _integers("level_start_index", starts, 1)
    names = ("sampling_locations", "attention_weights") if reference is None else ("offsets", "weight_logits")
    points, scores = (to_numpy(_OP, n, x)[0] for n, x in zip(names, (places, weights), strict=True))
    base = None if reference is None else to_numpy(_OP, "reference_points", reference)[0]
    given = {"value": array, names[0]: points, names[1]: scores} | ({} if base is None else {"reference_points": base})
    for name, x in given.items():
        if x.dtype not in (np.float16, np.float32, np.float64):
            raise TypeError(f"{_OP}: {name} must be float16, float32 or float64, got {x.dtype}")
        if (x.dtype == np.float64) != (array.dtype == np.float64):
            raise TypeError(f"{_OP}: {name} must be float64 where value is, and only there; got {x.dtype}")
    check_shapes(array.shape, len(sizes), None if base is None else base.shape, points.shape, scores.shape)
    if firsts is not None and len(firsts) != len(sizes):
        raise ValueError(f"{_OP}: level_start_index must be [{len(sizes)}] as spatial_shapes, got {list(firsts.shape)}")
    dense = [None if x is None else np.ascontiguousarray(x) for x in (array, base, points, scores)]
    return back(_runtime.native().deform_attention(dense[0], sizes, firsts, *dense[1:]))
