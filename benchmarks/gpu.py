"""slic on a CUDA device: one 1080p photograph, and a batch of them, beside the card's own copy bandwidth.

python benchmarks/gpu.py [--out FOLDER]

CUDA events; the L2 cache is flushed before every call; inputs in rotation; medians. Compulsory traffic is the image
read once (3 bytes a pixel) and the labels written once (4 bytes): what no implementation can save.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe, footnote
from implementations import COMPACTNESS, ITERATIONS, PIXELS_PER_SEGMENT
from photographs import SOURCE, photographs

WIDTH, HEIGHT, BATCH = 1920, 1080, 16
SEGMENTS = WIDTH * HEIGHT // PIXELS_PER_SEGMENT
ROUNDS, WARM_UP = 50, 5


def main() -> int:
    parser = argparse.ArgumentParser(description="slic on a CUDA device.")
    results = Path(__file__).resolve().parent / "results"
    parser.add_argument("--out", type=Path, default=results, metavar="FOLDER", help="default: %(default)s")
    out: Path = parser.parse_args().out
    if reason := _why_not():
        print(reason, file=sys.stderr)
        return 2
    text = _report()
    out.mkdir(parents=True, exist_ok=True)
    (out / "gpu.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def _why_not() -> str:
    try:
        import torch
    except ImportError:
        return "no CUDA device: torch is not installed"
    if not torch.cuda.is_available():
        return "no CUDA device"
    import pyseg

    library = pyseg.info()["libraries"]["torch_cuda"]
    return "" if library["loaded"] else f"pyseg's CUDA library is not loaded: {library['reason']}"


def _report() -> str:
    import torch

    batches = _batches()
    singles = [batch[i : i + 1].contiguous() for batch in batches for i in range(3)]
    same = all(torch.equal(_slic(image).cpu(), _slic(image.cpu())) for image in singles[:3])
    copy = _copy_bandwidth()
    lines = [
        "| | ms | images/s | ms with the host's part | compulsory GB/s | of copy |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for title, inputs, images in (("one image", singles, 1), (f"batch of {BATCH}", batches, BATCH)):
        device, host = _measure(_slic, inputs)
        rate = images * WIDTH * HEIGHT * 7 / device / 1e6
        lines.append(
            f"| {title} | {device:.3f} | {1e3 * images / device:.0f} | {host:.3f} | {rate:.0f} | {rate / copy:.1%} |"
        )
    card = torch.cuda.get_device_properties(0)
    notes = [
        f"{card.name}, {card.multi_processor_count} multiprocessors, CUDA {torch.version.cuda}, torch "
        f"{torch.__version__}; copy {copy:.0f} GB/s, measured.",
        f"Labels identical to the CPU's: {'yes' if same else 'NO'}.",
        f"{ROUNDS} rounds, CUDA events, L2 flushed before each, medians. {SOURCE}.",
        footnote(describe()),
    ]
    head = (
        f"{WIDTH} x {HEIGHT} uint8 RGB on the device, K = {SEGMENTS}, compactness {COMPACTNESS:g}, {ITERATIONS} "
        "iterations; conversion to CIELAB and connectivity included."
    )
    return "\n".join(["# slic on a GPU", "", head, "", *lines, "", *(f"- {note}" for note in notes), ""])


def _slic(images: Any) -> Any:
    from pyseg.ops import slic_batch

    return slic_batch(images, SEGMENTS, COMPACTNESS, ITERATIONS)[0]


def _batches() -> list[Any]:
    """Two batches uint8 [16, 3, H, W] of different pictures: the photographs, shifted and mirrored."""
    import torch

    pictures = photographs(WIDTH, HEIGHT)
    shifted = [np.roll(pictures[i % 3], (31 * i, 57 * i), (0, 1))[:, :: 1 - 2 * (i % 2)] for i in range(2 * BATCH)]
    tensor = torch.from_numpy(np.stack(shifted)).permute(0, 3, 1, 2).contiguous().cuda()
    return [tensor[:BATCH], tensor[BATCH:]]


def _measure(call: Callable[[Any], object], inputs: Sequence[Any]) -> tuple[float, float]:
    """Medians, in milliseconds: between events on the device, and of the host's clock from call to completion."""
    import torch

    cache = torch.cuda.get_device_properties(0).L2_cache_size
    flush = torch.empty(max(256 << 20, 4 * cache), dtype=torch.uint8, device="cuda")
    device, host = [], []
    for i in range(WARM_UP + ROUNDS):
        value = inputs[i % len(inputs)]
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        flush.zero_()
        begin.record()
        call(value)
        end.record()
        end.synchronize()
        device.append(begin.elapsed_time(end))
        flush.zero_()
        torch.cuda.synchronize()
        start = time.perf_counter()
        call(value)
        torch.cuda.synchronize()
        host.append(1e3 * (time.perf_counter() - start))
    return statistics.median(device[WARM_UP:]), statistics.median(host[WARM_UP:])


def _copy_bandwidth() -> float:
    """GB/s of a copy within the card's memory, read and written bytes together."""
    import torch

    source = torch.ones(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    milliseconds, _ = _measure(target.copy_, [source])
    return 2 * source.numel() / milliseconds / 1e6


if __name__ == "__main__":
    sys.exit(main())
