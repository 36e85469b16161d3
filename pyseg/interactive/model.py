"""From what is given to a probability for each superpixel: priors of position, colour models, diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg import _runtime
from pyseg.interactive.regions import Region

__all__ = ["Superpixels", "probabilities"]

Floats = NDArray[np.float64]

# Chosen by trials on COCO's objects and the regions of BSDS together (benchmarks/cut.py), so neither set is a check of
# them. The ones that matter: SIGMA and PULL for boxes (SIGMA at 15 or PULL at a quarter cost a tenth of IoU and more),
# NEAR and NEAR_BOTH for clicks; the others move the means by about a hundredth.
SIGMA, LEAK = 7.0, 0.03  # of an edge: colours that differ by this much are of two things; what passes all the same
PULL = 0.2  # of colour and prior against the neighbours
STEEP, REACH = 3.0, 1.1  # a region's prior: logit = STEEP (REACH - radius)
BARE = 0.7  # of REACH, where a region has no outside to learn the background from: its border is then
COLOR, LEAST, CLIP = 1.3, 3e-4, 4.0  # weight of the log ratio of colours; density of a colour not seen; its limit
AROUND = 0.4  # how far from a region, in its size, the background is looked at
STROKES = 1.5  # weight of the diffused strokes as a prior
BELIEF = 0.2  # of what is not marked, beside strokes, in the colour models
# How far strokes reach, as the pull per area to what a walker becomes that meets none: where both kinds are marked,
# where one is, and where a region's outside is the other kind.
NEAR_BOTH, NEAR, FAINT = 0.01, 0.004, 1e-4
ROUNDS = 3  # of colour models
VANISHED, RESTORED = 0.25, 0.4  # shares of a region's area
GUESS = 2.0  # logit of a mask to refine


@dataclass(frozen=True)
class Superpixels:
    """[n] of an image: what every cut of it shares."""

    labels: NDArray[np.int32]  # [H, W]
    points: Floats  # [n, 2] (x, y)
    area: Floats  # [n] pixels
    graph: Any  # _native.CutGraph


def superpixels(image: NDArray[np.uint8], wanted: int) -> Superpixels:
    """Of an image uint8 [H, W, 3]."""
    from pyseg.ops.slic import slic

    labels, stats = slic(image, n_segments=wanted, convert2lab=True, return_stats=True)
    graph = _runtime.native().CutGraph(stats.mean_lab, stats.area, stats.edges, stats.boundary_length, SIGMA, LEAK)
    return Superpixels(labels, np.ascontiguousarray(stats.center[:, ::-1]), stats.area.astype(np.float64), graph)


def _sigmoid(x: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-x))
    return result


def _logit(p: Floats, least: float) -> Floats:
    p = np.clip(p, least, 1 - least)
    result: Floats = np.log(p / (1 - p))
    return result


def probabilities(
    parts: Superpixels, marked: NDArray[np.int64], drawn: NDArray[np.int64], region: Region | None, guess: Floats | None
) -> Floats:
    """Probability [n] that a superpixel is of the object.

    Args:
        marked: [n, 2] pixels of each superpixel that are known to be background and foreground, a region's outside
            included.
        drawn: the same of what a person marked alone.
        region: box or contour.
        guess: [n] the share of a superpixel that a mask to refine covers.
    """
    own = _seeds(drawn)
    beyond = (marked - drawn)[:, 0] >= 0.5 * parts.area  # a region's outside
    seed = np.where((own < 0) & beyond, np.int8(0), own)
    given = (bool((own == 0).any()), bool((own == 1).any()))
    prior = np.zeros(len(seed))
    outside = np.ones(len(seed))  # weight of a superpixel as a sample of the background
    if region is not None:
        reach = REACH if (seed == 0).any() else BARE * REACH
        prior += STEEP * (reach - region.radius(parts.points))
        outside = np.exp(-region.away(parts.points) / AROUND)
    elif guess is None and not given[1]:  # nothing says where the object is: in the middle
        height, width = parts.labels.shape
        prior += STEEP * (1 - 2 * np.abs(parts.points / [width, height] - 0.5).max(1)) - 0.5 * STEEP
    if guess is not None:
        pull = np.full(len(seed), PULL)
        prior += GUESS * (2 * parts.graph.diffuse(pull, guess, seed) - 1)
    if given[1] or (given[0] and region is None):  # within a region, background marks only correct
        prior += _reach(parts, seed, own, given, region is not None or guess is not None)
    x = _rounds(parts, seed, prior, outside, given[1] or (given[0] and region is None))
    return x if region is None or given[1] else _at_least(x, np.where(seed < 0, parts.area, 0))


def _at_least(x: Floats, area: Floats) -> Floats:
    """Where diffusion has left next to nothing of the object that a box must hold, its likeliest part."""
    total = area.sum()
    if total == 0 or area[x > 0.5].sum() >= VANISHED * total:
        return x
    order = np.argsort(-x, kind="stable")
    middle = x[order[np.searchsorted(np.cumsum(area[order]), RESTORED * total)]]
    shifted = _logit(x, 1e-6) - _logit(middle, 1e-6)
    return np.where(area > 0, _sigmoid(shifted), x)


def _seeds(drawn: NDArray[np.int64]) -> NDArray[np.int8]:
    """-1, 0 or 1: what most of the marked pixels say."""
    background, foreground = drawn.T
    seed = np.where(foreground >= background, 1, 0).astype(np.int8)
    seed[(background == 0) & (foreground == 0)] = -1
    return seed


def _reach(
    parts: Superpixels, seed: NDArray[np.int8], own: NDArray[np.int8], given: tuple[bool, bool], placed: bool
) -> Floats:
    """Prior from strokes: how much sooner a random walker meets one kind than the other.

    It walks as far as NEAR allows, and then is in the background, or, where something else tells of the object's place,
    in neither.
    """
    n = len(seed)
    between = given[1] and placed and bool((seed == 0).any())
    pull = FAINT if between else NEAR_BOTH if all(given) else NEAR
    rest = 0.0 if given[1] and not placed else 0.5
    start = seed if given[1] else own
    return STROKES * _logit(parts.graph.diffuse(np.full(n, pull), np.full(n, rest), start), 0.01)


def _rounds(parts: Superpixels, seed: NDArray[np.int8], prior: Floats, outside: Floats, stroked: bool) -> Floats:
    """Colour models from what is believed, and belief from colour models, prior and neighbours, in turn."""
    free = seed < 0
    x = np.where(free, _sigmoid(prior), seed)
    pull = np.full(len(seed), PULL)
    belief = np.where(free, BELIEF if stroked else 1.0, 1.0)
    for _ in range(ROUNDS):
        ratio = parts.graph.color_ratio(parts.area * belief * x, parts.area * belief * (1 - x) * outside, LEAST)
        evidence = np.clip(COLOR * ratio, -CLIP, CLIP) + prior
        x = parts.graph.diffuse(pull, _sigmoid(evidence), seed)
    return x
