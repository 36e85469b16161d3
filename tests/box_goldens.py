"""Golden cases of the ops on boxes: what torchvision computed. See ``data/boxes/README.md``."""

from __future__ import annotations

import gzip
import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_FOLDER = Path(__file__).parent / "data" / "boxes"


@cache
def golden(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(config, inputs, outputs) of that case. Of a large output its first values, flat."""
    record = json.loads(gzip.decompress((_FOLDER / f"{name}.json.gz").read_bytes()))
    outputs = {}
    for key, output in record["outputs"].items():
        assert output["step"] == 1
        values = np.array(output["values"])
        outputs[key] = values.reshape(output["shape"]) if values.size == np.prod(output["shape"]) else values
    for key, shape in record["empty_outputs"].items():
        outputs[key] = np.empty(shape)
    return record["config"], {key: _MAKERS[r["rule"]](r) for key, r in record["inputs"].items()}, outputs


def _uniform(name: str, shape: tuple[int, ...], low: float = -1.0, high: float = 1.0) -> np.ndarray:
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw(int(np.prod(shape)))
    unit = (np.asarray(raw, np.uint64) >> np.uint64(40)).astype(np.float64) / 2**24
    return (low + (high - low) * unit).astype(np.float32).reshape(shape)


def _image(r: dict[str, Any]) -> np.ndarray:
    """Waves and noise."""
    turn, shape = 6.283185, (r["batch"], r["channels"], r["height"], r["width"])
    y, x = np.mgrid[: shape[2], : shape[3]].astype(np.float64)
    across, down = x / shape[3], y / shape[2]
    phase = np.moveaxis(_uniform(r["name"] + "/phase", (*shape[:2], 4), 0.0, turn), -1, 0)[..., None, None]
    waves = np.sin(turn * (1.5 * across) + phase[0]) * np.cos(turn * (1.1 * down) + phase[1])
    waves = waves + 0.5 * np.sin(turn * (3.7 * across + 2.3 * down) + phase[2])
    return (waves + 0.25 * _uniform(r["name"] + "/noise", shape)).astype(np.float32)


def _boxes(r: dict[str, Any]) -> np.ndarray:
    """Of random middles and sizes, within the image."""
    size = np.array([r["width"], r["height"]], np.float32)
    middle = _uniform(r["name"] + "/c", (r["count"], 2), 0, 1) * size
    half = _uniform(r["name"] + "/s", (r["count"], 2), r["low"], r["high"]) / 2
    return np.concatenate([np.clip(middle - half, 0, size), np.clip(middle + half, 0, size)], 1).astype(np.float32)


_MAKERS = {
    "seeded.image": _image,
    "boxes": _boxes,
    "seeded.uniform": lambda r: _uniform(r["name"], tuple(r["shape"]), r.get("low", -1.0), r.get("high", 1.0)),
    "integers": lambda r: np.floor(_uniform(r["name"], tuple(r["shape"]), r["low"], r["high"])).astype(np.int64),
    "values": lambda r: np.array(r["values"], r["dtype"]),
}
