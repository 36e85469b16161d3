"""The flow of TurboPixels: a level-set function, its velocity, and the skeleton at which fronts stop."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg.reference._turbopixels_image import bend, beside, slopes

f32 = np.float32
Floats = NDArray[Any]  # float32
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BAND = 4  # pixels: half of the narrow band; psi ends there
STEP = f32(0.5)  # of time
_ON_FRONT = f32(0.5)  # |psi| of the pixels that the front runs through
_OFF_FRONT = f32(1 / 64)  # what is carried does not come nearer than this: only velocity takes a pixel over the front
_SLOWEST = f32(1 / 128)  # velocities below this are none: half a pixel would take more than 128 iterations
_FLAT = f32(1e-6)  # added to |grad psi|
_ZERO, _ONE, _TWO = f32(0), f32(1), f32(2)
_SIDES = ((-1, 0), (0, -1), (0, 1), (1, 0))


def start(shape: tuple[int, int], seeds: list[tuple[int, int]], radius: float) -> tuple[Floats, Ints]:
    """psi, the signed distance to discs of a radius around the seeds, and the seed whose disc a pixel is in, or -1."""
    psi, owner = np.full(shape, BAND, f32), np.full(shape, -1, np.int64)
    y, x = np.indices(shape)
    for k, (seed_y, seed_x) in enumerate(seeds):
        distance = np.sqrt(((y - seed_y) ** 2 + (x - seed_x) ** 2).astype(f32)) - f32(radius)
        nearer = distance < psi
        psi = np.where(nearer, distance, psi)
        owner = np.where(nearer & (distance < 0), k, owner)
    return psi, owner


def velocity(psi: Floats, phi: Floats, still: Bools, alpha: float, beta: float) -> Floats:
    """S_I S_B: S_I = (1 - alpha curvature) phi - beta N . grad phi, S_B = 0 where `still`, else 1; -1 <= S_I <= 1."""
    x, y = slopes(psi)
    steepness = _ONE / (np.sqrt(x * x + y * y) + _FLAT)
    curvature = np.clip(bend(psi, x, y) * ((steepness * steepness) * steepness), -_ONE, _ONE)
    phi_x, phi_y = slopes(phi)
    ahead = (x * phi_x + y * phi_y) * steepness  # N . grad phi
    speed = np.clip(phi * (_ONE - f32(alpha) * curvature) - f32(beta) * ahead, -_ONE, _ONE)
    return np.where(still | (abs(speed) < _SLOWEST), _ZERO, speed)


def _upwind(psi: Floats, speed: Floats) -> Floats:
    """|grad psi| from the side that the front comes from (Osher and Sethian 1988)."""
    total = {True: np.zeros_like(psi), False: np.zeros_like(psi)}
    for dy, dx in ((0, 1), (1, 0)):
        back, ahead = psi - beside(psi, -dy, -dx), beside(psi, dy, dx) - psi
        for outwards in (True, False):
            b = np.maximum(back, _ZERO) if outwards else np.minimum(back, _ZERO)
            a = np.minimum(ahead, _ZERO) if outwards else np.maximum(ahead, _ZERO)
            total[outwards] = total[outwards] + (b * b + a * a)
    steepness: Floats = np.sqrt(np.where(speed > 0, total[True], total[False]))
    return steepness


def _carry(psi: Floats, moved: Floats, settle: bool) -> Floats:
    """Where |grad psi| = 1 puts a pixel beside its neighbours, of the nearer one in x and in y; on its own side.

    A front pixel keeps its place, unless (``settle``) the front left it behind: then it goes no farther away than this
    either. But where a neighbour across the front is itself off the front and waits to be carried, it goes ahead.
    """
    side = np.where(psi < 0, -_ONE, _ONE)
    x = np.minimum(side * beside(moved, 0, -1), side * beside(moved, 0, 1))
    y = np.minimum(side * beside(moved, -1, 0), side * beside(moved, 1, 0))
    apart = np.minimum(abs(x - y), _ONE)
    distance = np.minimum(x, y) + f32(0.5) * (apart + np.sqrt(_TWO - apart * apart))
    distance = np.clip(distance, _OFF_FRONT, f32(BAND))
    place = side * moved
    if settle:
        limited = np.minimum(place, np.maximum(abs(psi), distance))
        place = np.where(np.minimum(x, y) < -_ON_FRONT, place, limited)
    carried: Floats = side * np.where(abs(psi) <= _ON_FRONT, place, distance)
    return carried


def evolve(psi: Floats, owner: Ints, speed: Floats) -> tuple[Floats, Ints]:
    """One step: psi - STEP speed |grad psi| on the front; the rest of the band is carried along, in two rounds.

    A pixel that the front takes in belongs to the region of its assigned neighbour of least psi (above, left, right,
    below where equal); without one it stays outside.
    """
    front = abs(psi) <= _ON_FRONT
    moved = np.where(front, psi - (STEP * speed) * _upwind(psi, speed), psi)
    taken = front & (psi >= 0) & (moved < 0)
    around = [beside(psi, dy, dx) for dy, dx in _SIDES]
    least = np.minimum(np.minimum(around[0], around[3]), np.minimum(around[1], around[2]))
    moved = np.where(taken & (least >= 0), _OFF_FRONT, moved)
    givers = [beside(owner, dy, dx) for dy, dx in _SIDES]
    owner = np.where(taken & (least < 0), np.select([a == least for a in around], givers), owner)
    return _carry(psi, _carry(psi, moved, True), False), owner


def skeleton(psi: Floats) -> Bools:
    """What homotopic thinning leaves of the unassigned pixels (psi >= 0), in order of psi: the lines between regions.

    Unassigned pixels are 8-connected, assigned ones 4-connected, and all that lies outside of the image is unassigned
    and stays, so that lines end at the border. For each distance 0.5, 1, ... BAND, each of the four subfields of
    even or odd rows and columns loses its simple pixels below that distance at once: no two of a subfield touch.
    What is farther from a front than BAND stays: no front will be there before the next skeleton.
    """
    height, width = psi.shape
    there = np.pad(psi >= 0, 1, constant_values=True)
    y, x = np.indices(psi.shape)
    for shell in range(1, 2 * BAND + 1):
        for subfield in range(4):
            near = (psi < f32(shell / 2)) & (y % 2 == subfield // 2) & (x % 2 == subfield % 2)
            # The eight neighbours around the pixel, from the right, anticlockwise; the first again at the end.
            turn = [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1), (0, 1)]
            ring = [there[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] for dy, dx in turn]
            # How many runs of unassigned pixels the assigned 4-neighbours tell apart (Yokoi's number): simple if one.
            runs = sum((~ring[i] & (ring[i + 1] | ring[i + 2])).astype(np.int64) for i in (0, 2, 4, 6))
            there[1:-1, 1:-1] &= ~(near & (runs == 1))
    return there[1:-1, 1:-1]
