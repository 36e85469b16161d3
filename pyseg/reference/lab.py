"""CIELAB (D65, 2 degrees) from sRGB, in float32 and in a fixed order of operations: everybody gets the same bits.

Cube root: t^(1/3) = s h^(-2/3) for s = t y^2, h = t y^3. The bits of t give y, to 3 % proportional to t^(-1/3): the
exponent is divided by -3, and the mantissa nearly goes along. So h stays close to a constant, where a polynomial in h
is enough. Below its knee CIELAB goes on along the tangent: f(t) = m^(1/3) + slope (t - m), m the larger of t and the
knee. sRGB's exponent: u^2.4 = (u y)^3 h^(-0.6) for y = u^(-1/5), h = u y^5, in the same way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

f32 = np.float32
Floats = NDArray[Any]  # float32

# What red, green and blue add to X, Y and Z over the D65 white.
_SHARES = np.array(
    [[0.43395633, 0.2126729, 0.01775782], [0.37621531, 0.7151522, 0.1094756], [0.18984309, 0.072175, 0.87283638]], f32
)
_KNEE, _SLOPE = f32(0.008856452), f32(7.787037)

# Bytes: XYZ are scaled so that the polynomial leads with -1 and the tangent with 1, and f comes out scaled.
_SCALE, _UNSCALE = 12.106555439432181, 0.6432083077600168


def _linear16() -> NDArray[np.uint16]:
    """sRGB's transfer function (IEC 61966-2-1) on bytes: linear light in 1/65535."""
    c = np.arange(256) / 255
    light = np.where(c > 0.04045, ((c + 0.055) / 1.055) ** 2.4, c / 12.92)
    table: NDArray[np.uint16] = np.rint(65535 * light).astype(np.uint16)
    return table


_LINEAR16 = _linear16()


def _inverse_root(x: Floats, n: int, origin: int) -> Floats:
    """x^(-1/n) times a constant, to 3 %: origin - bits / n, each half of the bits rounded down on its own."""
    bits, share = x.view(np.uint32), np.uint64(65536 // n)
    high, low = (bits >> 16) * share >> 16, (bits & 0xFFFF) * share >> 16
    return (np.uint64(origin) - (high << 16 | low)).astype(np.uint32).view(f32)


def _polynomial(h: Floats, *factors: float) -> Floats:
    """Horner's rule, the highest power first."""
    p = h * f32(factors[0]) + f32(factors[1])
    for factor in factors[2:]:
        p = p * h + f32(factor)
    return p


def _xyz(light: list[Floats], shares: Floats) -> list[Floats]:
    return [light[0] * shares[0, i] + light[1] * shares[1, i] + light[2] * shares[2, i] for i in range(3)]


def _byte_f(t: Floats) -> Floats:
    m = np.maximum(t, f32(float(_KNEE) * _SCALE))
    y = _inverse_root(m, 3, 1418634015)
    s = m * (y * y)
    f: Floats = s * _polynomial(s * y, -1, 3.0650891, -3.6391465, 2.2473464) + (t - m)
    return f


def _float_f(t: Floats) -> Floats:
    m = np.maximum(t, _KNEE)
    y = _inverse_root(m, 3, 1418634015)
    s = m * (y * y)
    f: Floats = s * _polynomial(s * y, 1.8251189, -6.9045935, 10.5717478, -8.3628082, 3.8723083) + (t - m) * _SLOPE
    return f


def _linear(c: Floats) -> Floats:
    """((c + 0.055) / 1.055)^2.4, or c / 12.92 near black."""
    u = np.maximum((c + f32(0.055)) * (f32(1) / f32(1.055)), f32(0.09))
    y = _inverse_root(u, 5, 1279685427)
    w, y2 = u * y, y * y
    p = _polynomial(w * (y2 * y2), 0.0090877032, -0.10447092, 0.48742425, -1.1847429, 1.7699062)
    return np.where(c > f32(0.04045), w * w * w * p, c * (f32(1) / f32(12.92)))


def lab_bytes(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [..., 3] sRGB -> uint8 [..., 3]: 2 L, 2 a + 128, 2 b + 128, rounded and clamped to 0..255."""
    light = [_LINEAR16[rgb[..., c]].astype(f32) for c in range(3)]
    fx, fy, fz = (_byte_f(t) for t in _xyz(light, (_SHARES.astype(np.float64) * (_SCALE / 65535)).astype(f32)))
    lab = [fy * f32(232 * _UNSCALE), (fx - fy) * f32(1000 * _UNSCALE), (fy - fz) * f32(400 * _UNSCALE)]
    rounded = np.rint(np.stack(lab, axis=-1)).astype(np.int64) + np.array([-32, 128, 128])
    clamped: NDArray[np.uint8] = np.clip(rounded, 0, 255).astype(np.uint8)
    return clamped


def lab_floats(rgb: NDArray[Any]) -> Floats:
    """float32 [..., 3] sRGB in [0, 1] -> float32 [..., 3]: L in 0..100, a, b."""
    with np.errstate(all="ignore"):  # values far outside [0, 1] may overflow to infinity and NaN
        light = [_linear(np.ascontiguousarray(rgb[..., c], dtype=f32)) for c in range(3)]
        fx, fy, fz = (_float_f(t) for t in _xyz(light, _SHARES))
        return np.stack([fy * f32(116) - f32(16), (fx - fy) * f32(500), (fy - fz) * f32(200)], axis=-1)
