"""The masks of pyseg.cut beside OpenCV's grabCut, on photographs with known objects."""

import sys
from pathlib import Path

import numpy as np
import pytest

import pyseg

cv2 = pytest.importorskip("cv2")
pytest.importorskip("skimage")


@pytest.fixture(scope="module")
def bench():
    """benchmarks/cut.py and the objects, every fourth; skips where the data are missing."""
    folder = str(Path(__file__).resolve().parent.parent / "benchmarks")
    sys.path.insert(0, folder)
    try:
        import cut
        import cut_cases

        cases = [c for c in cut_cases.load() if c.source in ("coco", "bsds")]
    finally:
        sys.path.remove(folder)
    if not cases:
        pytest.skip("no data: neither $PYSEG_SHARED nor ../shared")
    return cut, cut_cases, cases[::4]


def means(bench, kind):
    """Mean intersection over union, {source: (pyseg, grabCut)}."""
    cut, tools, cases = bench
    found = {}
    for case in cases:
        given = {"box": tools.box_of(case.mask)} if kind == "box" else {"scribbles": tools.strokes_of(case.mask)}
        pair = [tools.iou(each(case.image, given), case.mask) for each in (cut.ours, cut.grabcut)]
        found.setdefault(case.source, []).append(pair)
    return {source: np.mean(pairs, 0) for source, pairs in found.items()}


@pytest.mark.parametrize(
    ("kind", "floors"), [("box", {"coco": 0.45, "bsds": 0.7}), ("strokes", {"coco": 0.6, "bsds": 0.75})]
)
def test_ahead_of_grabcut(bench, kind, floors):
    found = means(bench, kind)
    ours, theirs = np.mean(list(found.values()), 0)
    assert ours > theirs + 0.05, found
    for source, pair in found.items():
        assert pair[0] > floors[source], found
        assert pair[0] > pair[1] - 0.03, found


def test_each_click_helps(bench):
    _, tools, cases = bench
    scores = []
    for case in cases[::2]:
        cutter, mask, row = pyseg.Cutter(case.image), np.zeros_like(case.mask), []
        for _ in range(8):
            click = tools.click_at(case.mask, mask)
            if click is not None:
                mask = cutter.add_click(*click)
            row.append(tools.iou(mask, case.mask))
        scores.append(row)
    scores = np.mean(scores, 0)
    assert scores[7] > scores[3] > scores[0] > 0.3
    assert scores[7] > 0.75


def test_astronaut_in_a_box():
    """No annotation, but facts: the face and the suit are hers, the flag's corner and the wall are not."""
    data = pytest.importorskip("skimage.data")
    mask = pyseg.cut(data.astronaut(), box=(20, 5, 360, 512))
    assert mask[130:170, 210:240].mean() > 0.95
    assert mask[380:480, 100:180].mean() > 0.9
    assert not mask[:, 360:].any()
    assert 0.25 < mask.mean() < 0.7
