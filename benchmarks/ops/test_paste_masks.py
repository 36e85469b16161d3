"""paste_masks beside torchvision's, and detectron2's rule in torch. Every number of threads is one group.

Chosen by variables: PYSEG_BENCH_THREADS, PYSEG_BENCH_TIME. Results are compared before they are timed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import box_cases
import pytest
import torch
import torch.nn.functional as F
from rows import REPLAY
from timing import Samples

import pyseg

THREADS = os.environ.get("PYSEG_BENCH_THREADS") or os.environ.get("PYSEG_NUM_THREADS") or "1,2"
COUNT, SIDE, HEIGHT, WIDTH = 100, 28, 800, 1200
CASE = f"{COUNT} masks of {SIDE} x {SIDE} in {HEIGHT} x {WIDTH}"
NAMES = ("pyseg", "pyseg_avx2", "pyseg_exact", "grid_sample", "torchvision")

pytestmark = pytest.mark.benchmark(timer=REPLAY)


@pytest.mark.parametrize("threads", [int(t) for t in THREADS.split(",")])
@pytest.mark.parametrize("name", NAMES)
def test_masks(benchmark: Any, threads: int, name: str) -> None:
    samples, missing = _group(threads)
    if name in missing:
        pytest.skip(missing[name])
    box_cases.row(benchmark, samples, name, "paste_masks", CASE, threads)


def by_grid_sample(masks: Any, boxes: Any) -> Any:
    """A mask at a time, in the pixels of its box and one around."""
    out = torch.zeros(len(masks), HEIGHT, WIDTH, dtype=torch.bool)
    first = (boxes[:, :2].floor() - 1).clamp(min=0).long().tolist()
    last = torch.minimum(boxes[:, 2:].ceil() + 1, torch.tensor([WIDTH, HEIGHT])).long().tolist()
    for image, mask, box, (left, top), (right, bottom) in zip(out, masks, boxes, first, last, strict=True):
        x0, y0, x1, y1 = box
        y = (torch.arange(top, bottom) + 0.5 - y0) / (y1 - y0) * 2 - 1
        x = (torch.arange(left, right) + 0.5 - x0) / (x1 - x0) * 2 - 1
        grid = torch.stack([x.expand(len(y), len(x)), y[:, None].expand(len(y), len(x))], -1)
        drawn = F.grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0]
        image[top:bottom, left:right] = drawn >= 0.5
    return out


@functools.cache
def _group(threads: int) -> tuple[Samples, dict[str, str]]:
    torch.manual_seed(0)
    masks = torch.rand(COUNT, SIDE, SIDE)
    inputs = [box_cases.boxes(seed, COUNT, WIDTH, HEIGHT, 0.05, 0.4) for seed in range(3)]
    size = (HEIGHT, WIDTH)

    def theirs() -> Callable[[Any], Any]:
        paste = box_cases.torchvision("torchvision.models.detection.roi_heads").paste_masks_in_image
        return lambda b: paste(masks[:, None], b, size)[:, 0] >= 0.5

    def same(name: str, result: Any, mine: Any) -> None:
        exact = name in ("pyseg_exact", "grid_sample")
        expected = pyseg.paste_masks(masks, inputs[0], size, convention="detectron2") if exact else mine
        assert (result != expected).float().mean() < 1e-5, name

    makers: dict[str, Callable[[], Callable[[Any], Any]]] = {
        "pyseg": lambda: lambda b: pyseg.paste_masks(masks, b, size),
        "pyseg_avx2": lambda: lambda b: pyseg.paste_masks(masks, b, size),
        "pyseg_exact": lambda: lambda b: pyseg.paste_masks(masks, b, size, convention="detectron2"),
        "grid_sample": lambda: lambda b: by_grid_sample(masks, b),
        "torchvision": theirs,
    }
    return box_cases.group(makers, inputs, threads, same)
