"""Interactive segmentation without a network: a box, clicks, strokes, a contour, a trimap or a mask in, a mask out.

Superpixels carry the reasoning: blurred histograms of their colours inside and outside (in the place of GrabCut's
mixtures, Rother et al., SIGGRAPH 2004), a prior of position, and diffusion over their adjacency (Grady's random walks,
see ``cpp/cut/cut.h``). A two-class dense CRF over the pixels (Kraehenbuehl & Koltun, NIPS 2011; for this use
Cheng et al., "DenseCut", 2015) then finds the boundary.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg import _runtime
from pyseg._arrays import Array
from pyseg._check import integer, real
from pyseg.interactive import inputs
from pyseg.interactive.model import probabilities, superpixels
from pyseg.interactive.regions import Box, Contour, Region

__all__ = ["Cutter", "cut"]

# The CRF: logits of superpixels count SURE times; the kernels of neighbouring pixels and of similar pixels near by.
SURE, LEAST_SHARE = 2.0, 0.02
GAUSSIAN = (3.0, 0.5)  # sigma in pixels, weight
BILATERAL = (20.0, 10.0, 2.0)  # sigma in pixels, sigma of 8-bit colour, weight
SYMMETRIC = 1
PIXELS_PER_SUPERPIXEL, FEW_SUPERPIXELS, MOST_SUPERPIXELS = 64, 1500, 5000


def cut(
    image: Array,
    *,
    box: Any = None,
    clicks: Any = None,
    scribbles: Any = None,
    contour: Any = None,
    trimap: Array | None = None,
    mask: Array | None = None,
    **options: Any,
) -> Array:
    """Cuts an object out of a photograph, given some of: a box, clicks, strokes, a contour, a trimap, a first mask.

    What is marked by clicks, scribbles or a trimap is kept to the pixel: the mask is True wherever foreground was
    marked and False wherever background was. Where marks contradict each other, clicks win over scribbles and those
    over a trimap, and of two clicks or lines the later one. Outside of a box or a contour nothing is of the object,
    unless it was marked as foreground.

    Args:
        image: [H, W], [H, W, 1] or [H, W, 3] (RGB): uint8, uint16 (stretched to its range) or floating point within
            0 .. 1; any strides; NumPy, CuPy, torch.
        box: (x0, y0, x1, y1) in pixels, the ends excluded, drawn closely around the object; what lies beyond the image
            is cut off.
        clicks: [(x, y, is_foreground)] in pixels; (x, y) is foreground. A click marks a disc, see ``click_radius``.
        scribbles: a signed integer map [H, W]: 1 foreground, 0 background, -1 unknown; or a list of lines
            (points [N, 2], is_foreground) or (points, is_foreground, width), x and y in pixels, width 5.
        contour: polygon [N, 2] (x, y) drawn roughly around the object.
        trimap: integers [H, W]: 0 background, 128 unknown, 255 foreground.
        mask: [H, W], bool or integers, non-zero where the object is thought to be: a guess, which marks nothing.
        options: those of :class:`Cutter`.

    Returns:
        bool [H, W], the same kind of array on the same device.

    Raises:
        ValueError: nothing given or nothing marked, a box or contour that misses the image, a click outside of it,
            coordinates or pixels that are no numbers, shapes that do not fit, an empty image.
        TypeError: unsupported dtypes or kinds of argument.

    The mask is the same bits for any number of threads and any instruction set. Computed on the CPU.
    """
    cutter = Cutter(image, **options)
    return cutter.cut(box=box, clicks=clicks, scribbles=scribbles, contour=contour, trimap=trimap, mask=mask)


class Cutter:
    """A photograph whose object is cut out in several steps: superpixels and the CRF's lattices are made once.

    Every result depends on all that was given so far, and on nothing else: it equals that of a new ``Cutter`` given the
    same in one go. Not for use by several threads at once.

    Args:
        image: as for :func:`cut`. Kept as a copy in 8 bits.
        superpixels: about how many; None: one for 64 pixels, 5,000 at most; small images have more.
        click_radius: of the disc that a click marks, in pixels; None: half a hundredth of the longer side.
        n_iter: steps of the dense CRF; 0: the mask follows superpixels.
        channel_axis: which axis holds the channels of an image with three axes.

    Raises:
        ValueError, TypeError: as for :func:`cut`.
    """

    def __init__(
        self,
        image: Array,
        *,
        superpixels: int | None = None,
        click_radius: float | None = None,
        n_iter: int = 3,
        channel_axis: int | None = -1,
    ) -> None:
        self._image, self._back = inputs.picture(image, channel_axis)
        self._shape = (self._image.shape[0], self._image.shape[1])
        if superpixels is not None:
            superpixels = integer("cut", "superpixels", superpixels, 1, 2**20)
        pixels = self._shape[0] * self._shape[1]
        enough = max(pixels // PIXELS_PER_SUPERPIXEL, min(pixels // 16, FEW_SUPERPIXELS), 1)
        self._wanted = superpixels or min(enough, MOST_SUPERPIXELS)
        self._steps = integer("cut", "n_iter", n_iter, 0, 1000)
        self._radius = 0.005 * max(self._shape)
        if click_radius is not None:
            self._radius = real("cut", "click_radius", click_radius)
            if not 0 <= self._radius <= max(self._shape):
                raise ValueError(f"cut: click_radius must be 0 .. {max(self._shape)}, got {click_radius}")
        self._parts: Any = None
        self._plan: Any = None
        self._given: list[tuple[tuple[str, Any], ...]] = []
        self._result: tuple[NDArray[np.float32], NDArray[np.bool_]] | None = None

    # ---- giving

    def cut(
        self,
        *,
        box: Any = None,
        clicks: Any = None,
        scribbles: Any = None,
        contour: Any = None,
        trimap: Array | None = None,
        mask: Array | None = None,
    ) -> Array:
        """Adds what is given to all before, as one step for :meth:`undo`, and cuts again. Arguments as for :func:`cut`.

        A box or contour replaces the one before, a mask too; marks are added, later ones win. Raises ValueError where
        nothing has been given yet; after an error, everything is as before the call.

        Returns:
            bool [H, W], of the image's kind.
        """
        step = self._checked(box, clicks, scribbles, contour, trimap, mask)
        before = self._given
        if step:
            self._given = [*before, step]
            try:
                self._check_marks()
            except ValueError:
                self._given = before
                raise
            self._result = None
        return self.mask

    def add_click(self, x: float, y: float, is_foreground: bool = True) -> Array:
        """:meth:`cut` with one more click."""
        return self.cut(clicks=[(x, y, is_foreground)])

    def add_scribble(self, points: Any, is_foreground: bool = True, width: float = 5.0) -> Array:
        """:meth:`cut` with one more line, points [N, 2] (x, y), width in pixels."""
        return self.cut(scribbles=[(points, is_foreground, width)])

    def undo(self) -> bool:
        """Takes back the last call that gave something. False where there was none."""
        if not self._given:
            return False
        self._given = self._given[:-1]
        self._result = None
        return True

    def reset(self) -> None:
        """Forgets all that was given, and keeps what belongs to the image."""
        self._given, self._result = [], None

    # ---- getting

    @property
    def mask(self) -> Array:
        """bool [H, W]: the object. ValueError where nothing has been given."""
        return self._back(self._solved()[1].copy())

    @property
    def probability(self) -> Array:
        """float32 [H, W]: of the object; 0 and 1 at marks. ValueError where nothing has been given."""
        return self._back(self._solved()[0].copy())

    @property
    def strokes(self) -> Array:
        """int8 [H, W]: what clicks, scribbles and trimaps mark: 1 foreground, 0 background, -1 nothing."""
        return self._back(self._drawn()[0])

    # ---- how

    def _checked(
        self, box: Any, clicks: Any, scribbles: Any, contour: Any, trimap: Any, mask: Any
    ) -> tuple[tuple[str, Any], ...]:
        """What is given, in the order in which it is drawn."""
        shape = self._shape
        step: list[tuple[str, Any]] = []
        if box is not None and contour is not None:
            raise ValueError("cut: box and contour exclude each other, got both")
        if mask is not None:
            step.append(("guess", inputs.mask(mask, shape)))
        if box is not None:
            step.append(("region", Box(*inputs.box(box, shape))))
        if contour is not None:
            region = Contour(inputs.contour(contour, shape))
            if not region.inside(shape).any():
                raise ValueError("cut: contour must have a pixel of the image inside, got none")
            step.append(("region", region))
        if trimap is not None:
            step.append(("map", inputs.trimap(trimap, shape)))
        if scribbles is not None:
            if getattr(scribbles, "ndim", 0) == 2:
                step.append(("map", inputs.scribble_map(scribbles, shape)))
            else:
                step += [("line", line) for line in inputs.strokes(scribbles, shape)]
        if clicks is not None:
            if not isinstance(clicks, Iterable) or isinstance(clicks, str | bytes):
                raise TypeError(f"cut: clicks must be a list of (x, y, is_foreground), got {clicks!r}")
            step += [("click", inputs.click(each, shape)) for each in clicks]
        return tuple(step)

    def _drawn(self) -> tuple[inputs.Strokes, Region | None, NDArray[np.bool_] | None]:
        """All that was given: marks, region, guess."""
        canvas = np.full(self._shape, -1, np.int8)
        region, guess = None, None
        for kind, value in (item for step in self._given for item in step):
            if kind == "region":
                region = value
            elif kind == "guess":
                guess = value
            elif kind == "map":
                np.copyto(canvas, value, where=value >= 0)
            elif kind == "line":
                inputs.paint_line(canvas, value[0], value[2], int(value[1]))
            else:
                inputs.paint_disc(canvas, value[0], value[1], self._radius, int(value[2]))
        return canvas, region, guess

    def _check_marks(self) -> None:
        canvas, region, guess = self._drawn()
        if region is None and guess is None and not (canvas >= 0).any():
            raise ValueError("cut: a box, contour or mask must be given, or a pixel marked, got no marked pixel")

    def _solved(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        if self._result is None:
            self._result = self._solve()
        return self._result

    def _solve(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        if not self._given:
            raise ValueError("cut: one of box, clicks, scribbles, contour, trimap or mask must be given, got none")
        native = _runtime.native()
        drawn, region, guess = self._drawn()
        if self._parts is None:
            self._parts = superpixels(self._image, self._wanted)
        labels, count = self._parts.labels, len(self._parts.area)
        known = drawn if region is None else np.where((drawn < 0) & ~region.inside(self._shape), np.int8(0), drawn)
        own = native.cut_strokes(labels, drawn, count)
        marked = own if region is None else native.cut_strokes(labels, known, count)
        share = None
        if guess is not None:
            share = native.cut_strokes(labels, guess.astype(np.int8), count)[:, 1] / self._parts.area
        x = np.clip(probabilities(self._parts, marked, own, region, share), LEAST_SHARE, 1 - LEAST_SHARE)
        energy = native.cut_unary(labels, (SURE * np.log(x / (1 - x))).astype(np.float32), known)
        q: NDArray[np.float32] = np.empty_like(energy)
        weights = [np.float32(GAUSSIAN[1]), np.float32(BILATERAL[2])]
        lattices = self._lattices()
        lattices.infer(energy, 0, weights, self._steps, False, q)
        probability, mask = native.cut_finish(q, known)
        if region is not None and not mask.any():  # the CRF has smoothed a small or flat object away: superpixels alone
            lattices.infer(energy, 0, weights, 0, False, q)
            probability, mask = native.cut_finish(q, known)
        return probability, mask

    def _lattices(self) -> Any:
        if self._plan is None:
            kernels = [
                ([GAUSSIAN[0]] * 2, [2, 1], [], SYMMETRIC),
                ([BILATERAL[0]] * 2, [2, 1], [BILATERAL[1]] * 3, SYMMETRIC),
            ]
            pixels = self._shape[0] * self._shape[1]
            self._plan = _runtime.native().CrfPlan(self._image, [-1, 0, 1, 2], pixels, kernels)
        return self._plan
