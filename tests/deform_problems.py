"""Problems for deform_attention, and golden ones of the official implementation."""

import gzip
import json
import math
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import grid_sample

DATA = Path(__file__).parent / "data" / "deform_attention"
GOLDEN = sorted(path.name.removesuffix(".json.gz") for path in DATA.glob("*.json.gz"))


class Points(NamedTuple):
    """Arguments of the function, in its order."""

    value: torch.Tensor
    shapes: list
    locations: torch.Tensor
    weights: torch.Tensor


class Fused(NamedTuple):
    value: torch.Tensor
    shapes: list
    reference: torch.Tensor
    offsets: torch.Tensor
    logits: torch.Tensor


SHAPES = [(6, 9), (3, 5), (1, 2)]


def random_points(seed=0, shapes=SHAPES, batch=2, queries=7, heads=3, channels=8, points=4, low=-0.3, high=1.3):
    """In float64; not at the very edges of pixels, where gradients jump."""
    rng = torch.Generator().manual_seed(seed)
    levels, pixels = len(shapes), sum(h * w for h, w in shapes)
    value = torch.randn(batch, pixels, heads, channels, generator=rng, dtype=torch.float64)
    places = torch.rand(batch, queries, heads, levels, points, 2, generator=rng, dtype=torch.float64)
    locations = away_from_edges(low + (high - low) * places, shapes)
    weights = torch.randn(batch, queries, heads, levels, points, generator=rng, dtype=torch.float64)
    return Points(value, list(shapes), locations, weights)


def away_from_edges(locations, shapes):
    sizes = locations.new_tensor([[w, h] for h, w in shapes]).reshape(-1, 1, 2).clamp(min=1)
    pixels = locations * sizes - 0.5
    rest = (pixels - pixels.floor()).clamp(0.02, 0.98)
    return (pixels.floor() + rest + 0.5) / sizes


def random_fused(seed=0, box=2, **options):
    problem = random_points(seed, **options)
    rng = torch.Generator().manual_seed(seed + 1000)
    batch, queries, _, levels, points, _ = problem.locations.shape
    reference = torch.rand(batch, queries, levels, box, generator=rng, dtype=torch.float64)
    offsets = torch.randn(problem.locations.shape, generator=rng, dtype=torch.float64) * 2
    sizes = offsets.new_tensor([[w, h] for h, w in problem.shapes]).reshape(-1, 1, 2)
    base = reference[:, :, None, :, None]
    if box == 2:
        at = away_from_edges(base + offsets / sizes, problem.shapes)
        offsets = (at - base) * sizes
    else:
        reference[..., 2:] += 0.2
        at = away_from_edges(base[..., :2] + offsets / points * base[..., 2:] / 2, problem.shapes)
        offsets = (at - base[..., :2]) / base[..., 2:] * 2 * points
    return Fused(problem.value, problem.shapes, reference, offsets, problem.weights)


def to(problem, dtype):
    return type(problem)(*(x.to(dtype) if isinstance(x, torch.Tensor) else x for x in problem))


def by_torch(value, shapes, locations, weights):
    """The usual way in torch: one grid_sample a level, then a weighted sum. Everything in value's dtype."""
    batch, _, heads, channels = value.shape
    maps = value.split([h * w for h, w in shapes], 1)
    samples = [
        grid_sample(
            m.permute(0, 2, 3, 1).reshape(batch * heads, channels, h, w),
            (2 * locations[:, :, :, i] - 1).transpose(1, 2).flatten(0, 1),
            align_corners=False,
        )
        for i, (m, (h, w)) in enumerate(zip(maps, shapes, strict=True))
    ]
    weights = weights.transpose(1, 2).flatten(0, 1).flatten(2).unsqueeze(1)
    result = (torch.cat(samples, -1) * weights).sum(-1)
    return result.reshape(batch, heads * channels, -1).transpose(1, 2)


def close(mine, expected, bar):
    """Relative to the largest value."""
    assert mine.shape == expected.shape
    if expected.numel() == 0:
        return
    scale = expected.abs().max().clamp(min=1e-3)
    error = ((mine.double() - expected.double()).abs().max() / scale).item()
    assert error <= bar, error


# ---- golden


def uniform(name, shape, low=-1.0, high=1.0):
    bits = np.random.PCG64(zlib.crc32(name.encode())).random_raw(math.prod(shape)).astype(np.uint64)
    unit = (bits >> np.uint64(40)).astype(np.float64) / float(1 << 24)
    return (low + (high - low) * unit).astype(np.float32).reshape(shape)


def golden(name):
    with gzip.open(DATA / f"{name}.json.gz", "rt") as file:
        return json.load(file)


def golden_input(rule):
    if rule["rule"] == "values":
        return torch.from_numpy(np.asarray(rule["values"], rule["dtype"]))
    x = uniform(rule["name"], tuple(rule["shape"]), rule.get("low", -1.0), rule.get("high", 1.0))
    if rule["rule"] == "softmax":
        flat = x.astype(np.float64).reshape(*x.shape[: -rule["axes"]], -1)
        flat = np.exp(flat - flat.max(-1, keepdims=True))
        x = (flat / flat.sum(-1, keepdims=True)).reshape(x.shape).astype(np.float32)
    return torch.from_numpy(x)


def golden_weights(record):
    """The state dict; only kinds of tensors that this layer has."""
    state = {}
    for name, shape in record["shapes"].items():
        bound = 0.1 if len(shape) == 1 else math.sqrt(3.0 / math.prod(shape[1:]))
        if name == "sampling_offsets.bias":
            assert record["overrides"] == [["sampling_offsets\\.bias$", -3.0, 3.0]]
            bound = 3.0
        state[name] = torch.from_numpy(uniform(name, tuple(shape), -bound, bound))
    return state


def mismatch(tensor, record):
    assert list(tensor.shape) == record["shape"]
    wanted = np.asarray(record["values"])
    got = tensor.detach().double().numpy().ravel()[:: record["step"]][: len(wanted)]
    return float(np.abs(got - wanted).max() / max(np.abs(wanted).max(), 1e-12))
