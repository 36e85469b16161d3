"""The segments of pyseg.compat.skimage.slic against scikit-image's own, at the same arguments."""

import numpy as np
import pytest

from pyseg.compat.skimage import slic

skimage = pytest.importorskip("skimage")

from skimage import color, data, filters, segmentation  # noqa: E402

RGB = [
    {"n_segments": 100},
    {"n_segments": 400},
    {"n_segments": 1000, "compactness": 20},
    {"n_segments": 400, "compactness": 1},
    {"n_segments": 400, "sigma": 1},
    {"n_segments": 400, "spacing": [1, 2]},
    {"n_segments": 400, "slic_zero": True},
    {"n_segments": 400, "convert2lab": False, "compactness": 0.1},
    {"n_segments": 200, "mask": True},
]
GREY = [{"n_segments": 400, "compactness": c, "channel_axis": None} for c in (0.01, 0.1, 1)]


def explained_variation(values, labels, inside):
    """The share of the values' variance that the segments' means keep."""
    labels, values = labels[inside], values[inside].reshape(inside.sum(), -1)
    means = np.stack([np.bincount(labels, v) for v in values.T], 1) / np.maximum(1, np.bincount(labels))[:, None]
    return ((means[labels] - values.mean(0)) ** 2).sum() / ((values - values.mean(0)) ** 2).sum()


def agreement(edges, labels, inside):
    """The mean strength of the image's edges along the segments' boundaries, in units of that everywhere."""
    on = segmentation.find_boundaries(labels) & inside
    return edges[on].mean() / edges[inside].mean()


def recall(edges, labels, inside):
    """The share of the strongest twentieth of the edges with a boundary within a pixel."""
    strong = (edges > np.quantile(edges[inside], 0.95)) & inside
    return segmentation.find_boundaries(labels)[strong].mean()


def figures(name, options):
    """Of pyseg's labels and of scikit-image's: the three figures and the number of segments."""
    image = getattr(data, name)()
    values = color.rgb2lab(image)
    if "channel_axis" in options:
        image = color.rgb2gray(image)
        values = image[..., None]
    edges = np.sqrt(sum(filters.sobel(v) ** 2 for v in np.moveaxis(values, -1, 0)))
    inside = np.ones(edges.shape, bool)
    if "mask" in options:
        y, x = np.indices(edges.shape)
        inside = (y - 200) ** 2 + (x - 250) ** 2 < 170**2
        options = options | {"mask": inside}
    rows = []
    for each in (slic, segmentation.slic):
        labels = each(image, **options)
        quality = [explained_variation(values, labels, inside), agreement(edges, labels, inside)]
        rows.append([*quality, recall(edges, labels, inside), len(np.unique(labels[inside]))])
    return rows


@pytest.fixture(scope="module")
def table():
    """[arguments, (pyseg, scikit-image), figures], means of two photographs."""
    cases = RGB + GREY
    return np.array([np.mean([figures(name, case) for name in ("astronaut", "coffee")], axis=0) for case in cases])


def test_no_worse_than_scikit_image(table, capsys):
    with capsys.disabled():
        print("\npyseg / scikit-image: explained variation, edges on boundaries, boundary recall, segments")
        for case, (ours, theirs) in zip(RGB + GREY, table, strict=True):
            pairs = [f"{a:.4g} / {b:.4g}" for a, b in zip(ours, theirs, strict=True)]
            print(", ".join(pairs), " ", case)
    ours, theirs = table.mean(0)
    assert np.all(ours[:3] >= theirs[:3])


def test_each_case_is_close(table):
    ours, theirs = np.moveaxis(table, 1, 0)
    assert np.all(ours[:, 0] >= theirs[:, 0] - 0.002)
    assert np.all(ours[:, 1] >= theirs[:, 1] * 0.92)
    assert np.all(ours[:, 2] >= theirs[:, 2] * 0.96)
    assert np.all(np.abs(ours[:, 3] / theirs[:, 3] - 1) < 0.4)
