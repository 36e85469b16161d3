"""What the tests of ``pyseg crf`` share: maps and photographs as files, and a look at what reaches the CRF."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import pyseg


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    """Every call of pyseg.dense_crf: its arguments and its result."""
    seen = []
    function = pyseg.dense_crf

    def recorded(unary, image, **options):
        before = unary.copy()
        result = function(unary, image, **options)
        assert np.array_equal(unary, before)
        seen.append(SimpleNamespace(unary=unary, image=image, options=options, result=result))
        return result

    monkeypatch.setattr(pyseg, "dense_crf", recorded)
    return seen


def probabilities(photo, classes=3, seed=0):
    """float32 [H, W, classes]: by brightness, with noise."""
    rng = np.random.default_rng(seed)
    grey = photo.mean(axis=-1)[..., None] / 255
    logits = -30 * (grey - np.linspace(0, 1, classes)) ** 2 + rng.normal(0, 1, (*photo.shape[:2], classes))
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (exp / exp.sum(axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture
def probs(photo):
    return probabilities(photo)


@pytest.fixture
def pair(tmp_path, photo, probs):
    """(map, photograph) as files."""
    np.save(tmp_path / "one.npy", probs)
    Image.fromarray(photo).save(tmp_path / "one.png")
    return tmp_path / "one.npy", tmp_path / "one.png"


@pytest.fixture
def folders(tmp_path, photo, probs):
    """maps/ a.npz, b.npy, c.png, deep/d.npz and a corrupt one; photos/ of these and one more."""
    maps, photos = tmp_path / "maps", tmp_path / "photos"
    for folder in (maps, photos):
        (folder / "deep").mkdir(parents=True)
    np.savez(maps / "a.npz", probs=probs)
    np.save(maps / "b.npy", probs.transpose(2, 0, 1))
    Image.fromarray(np.rint(probs[..., 1] * 255).astype(np.uint8)).save(maps / "c.png")
    np.savez(maps / "deep" / "d.npz", probs=probs)
    (maps / "e.npy").write_bytes((maps / "b.npy").read_bytes()[:999])
    for name in ("a.jpg", "b.PNG", "c.jpg", "deep/d.png", "e.png", "other.png"):
        Image.fromarray(photo).save(photos / name)
    return maps, photos
