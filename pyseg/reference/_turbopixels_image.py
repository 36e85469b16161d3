"""What TurboPixels sees of an image: its smoothed planes, and the affinity of every pixel to its neighbours."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

f32 = np.float32
Floats = NDArray[Any]  # float32

_LIMIT = f32(2.0**20)  # of a value, in 1/255 of the range: beyond it squares of squares would overflow
_FLOW_STEPS, _FLOW_STEP, _TINY = 10, f32(0.1), f32(1e-12)
_LOG2_E = f32(1.4426950408889634)
_POWER = (-0.000944904343, 0.00920579955, -0.0552973598, 0.24018015, -0.693143725, 1.0)  # of 2^-t, 0 <= t < 1


def beside(a: NDArray[Any], dy: int, dx: int) -> NDArray[Any]:
    """For every pixel the value at (dy, dx) from it; the border's values are repeated outside."""
    height, width = a.shape
    padded = np.pad(a, 1, mode="edge")
    return padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


def slopes(a: Floats) -> tuple[Floats, Floats]:
    """Central differences along x and y."""
    return (beside(a, 0, 1) - beside(a, 0, -1)) * f32(0.5), (beside(a, 1, 0) - beside(a, -1, 0)) * f32(0.5)


def bend(a: Floats, ax: Floats, ay: Floats) -> Floats:
    """a_xx a_y^2 - 2 a_x a_y a_xy + a_yy a_x^2: the curvature of the level lines times |grad a|^3."""
    axx = (beside(a, 0, 1) + beside(a, 0, -1)) - f32(2) * a
    ayy = (beside(a, 1, 0) + beside(a, -1, 0)) - f32(2) * a
    axy = ((beside(a, 1, 1) - beside(a, -1, 1)) - (beside(a, 1, -1) - beside(a, -1, -1))) * f32(0.25)
    bent: Floats = (axx * (ay * ay) - (f32(2) * (ax * ay)) * axy) + ayy * (ax * ax)
    return bent


def smoothed_planes(image: NDArray[Any]) -> Floats:
    """[H, W, C] of any type -> float32 [C, H, W]; the range of an integer type, or of a float 0 to 1, is 0 to 255.

    Smoothed by ten steps of 0.1 of mean curvature motion, a_t = curvature |grad a|, which leaves edges where they are.

    Raises:
        ValueError: NaN or infinity.
    """
    full = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    planes = np.moveaxis(image.astype(f32) * (f32(1) / f32(full)), -1, 0)
    if not np.isfinite(planes).all():
        raise ValueError("turbopixels: image must be finite, got nan or inf")
    planes = np.clip(planes * f32(255), -_LIMIT, _LIMIT)
    smooth = []
    for a in planes:
        for _ in range(_FLOW_STEPS):
            ax, ay = slopes(a)
            a = a + _FLOW_STEP * (bend(a, ax, ay) / ((ax * ax + ay * ay) + _TINY))
        smooth.append(a)
    return np.stack(smooth)


def gradient(planes: Floats) -> Floats:
    """|grad I|: the root of the mean over the channels of |grad|^2."""
    total = np.zeros(planes.shape[1:], f32)
    for a in planes:
        ax, ay = slopes(a)
        total = total + (ax * ax + ay * ay)
    magnitude: Floats = np.sqrt(total * (f32(1) / f32(len(planes))))
    return magnitude


def _gaussian(sigma: float) -> list[float]:
    """Cut off at 3 sigma; its sum is 1."""
    radius = math.ceil(3.0 * sigma)
    bell = [math.exp(-0.5 * (i / sigma) * (i / sigma)) for i in range(-radius, radius + 1)]
    total = 0.0
    for b in bell:
        total += b
    return [b / total for b in bell]


def _filter(a: Floats, axis: int, kernel: list[float]) -> Floats:
    """Along one axis, the border's values repeated."""
    size, radius = a.shape[axis], len(kernel) // 2
    out = np.zeros_like(a)
    for j, weight in enumerate(kernel):
        term = np.take(a, np.clip(np.arange(size) + j - radius, 0, size - 1), axis) * f32(weight)
        out = term if j == 0 else out + term
    return out


def _coarsen(a: NDArray[Any], axis: int, step: int) -> NDArray[Any]:
    """Sums of `step` neighbours; zeros beyond the border."""
    size, cells = a.shape[axis], -(-a.shape[axis] // step)
    a = np.pad(a, [(0, cells * step - size if d == axis else 0) for d in range(2)])
    out = np.take(a, np.arange(cells) * step, axis)
    for i in range(1, step):
        out = out + np.take(a, np.arange(cells) * step + i, axis)
    return out


def _refine(a: Floats, axis: int, step: int, size: int) -> Floats:
    """Linear interpolation between the middles of cells of `step` pixels."""
    at = (np.arange(size) + 0.5) / step - 0.5
    first = np.floor(at).astype(np.int64)
    share = (at - first).astype(f32)[:, None] if axis == 0 else (at - first).astype(f32)
    ends = [np.take(a, np.clip(first + i, 0, a.shape[axis] - 1), axis) for i in (0, 1)]
    between: Floats = ends[0] * (f32(1) - share) + ends[1] * share
    return between


def local_mean(a: Floats, sigma: float) -> Floats:
    """G_sigma * a. Wide Gaussians are computed on the means of cells of sigma / 4 pixels, and interpolated."""
    step = max(1, min(int(sigma / 4), *[max(a.shape)] * 2))
    counts = _coarsen(_coarsen(np.ones(a.shape, np.int64), 0, step), 1, step)
    cells = _coarsen(_coarsen(a, 0, step), 1, step) / counts.astype(f32)
    kernel = _gaussian(min(sigma / step, 8.0))
    cells = _filter(_filter(cells, 0, kernel), 1, kernel)
    return _refine(_refine(cells, 0, step, a.shape[0]), 1, step, a.shape[1])


def decay(x: Floats) -> Floats:
    """e^-x of x >= 0 to 4e-6 of itself, in a fixed order of operations; never below 2^-126."""
    t = np.minimum(x * _LOG2_E, f32(126))
    whole = t.astype(np.int32)
    t = t - whole.astype(f32)
    p = np.full_like(t, f32(_POWER[0]))
    for factor in _POWER[1:]:
        p = p * t + f32(factor)
    return np.ldexp(p, -whole)


def affinity(planes: Floats, sigma: float, gamma: float, nu: float) -> Floats:
    """phi = exp(-E / nu), E = |grad I| / (c G_sigma * |grad I| + gamma): 1 where the image is flat, 0 on edges.

    The paper's Gaussian has the scale of the published code, c = (pi / 2)^(1/2) sigma for a G_sigma of sum 1: on a long
    straight line G_sigma * |grad I| is then about |grad I| itself.
    """
    magnitude = gradient(planes)
    scale = f32(math.sqrt(math.pi / 2) * sigma)
    energy = magnitude / (scale * local_mean(magnitude, sigma) + f32(min(max(gamma, 1e-30), 1e30)))
    return decay(energy * f32(min(1.0 / nu, 1e30)))
