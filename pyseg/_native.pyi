from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__version__: str

def isa() -> str: ...
def widest_isa() -> str: ...
def set_isa(name: str) -> None: ...
def set_num_threads(threads: int) -> None: ...
def get_num_threads() -> int: ...
def quickshift(
    image: NDArray[Any],
    axes: Sequence[int],
    ratio: float,
    kernel_size: float,
    max_dist: float,
    sigma: float,
    to_lab: bool,
    start_label: int,
    noise: NDArray[np.float64] | None,
    tree: bool,
    exact: bool,
) -> tuple[NDArray[np.int32], int, NDArray[np.int64], NDArray[Any]]: ...
def atrous_conv2d(
    x: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    geometry: Sequence[int],
    relu: bool,
) -> NDArray[Any]: ...
def felzenszwalb(
    image: NDArray[Any],
    axes: Sequence[int],
    scale: float,
    sigma: float,
    min_size: int,
    start_label: int,
    kernel: Sequence[float] = ...,
) -> tuple[NDArray[np.int32], int]: ...
def relpos_attention(
    q: NDArray[Any],
    k: NDArray[Any],
    v: NDArray[Any],
    rel_h: NDArray[Any],
    rel_w: NDArray[Any],
    scale: float,
) -> NDArray[Any]: ...
def mask_bitmap(mask_logits: NDArray[np.float32], height: int, width: int, threshold: float) -> NDArray[np.int16]: ...
def mask_bits(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.int16]: ...
def masked_attention(
    q: NDArray[Any],
    k: NDArray[Any],
    v: NDArray[Any],
    bits: NDArray[np.int16],
    height: int,
    width: int,
    heads: int,
    empty_all: bool,
) -> NDArray[Any]: ...
def slic(
    image: NDArray[Any],
    axes: Sequence[int],
    n_segments: int,
    compactness: float,
    max_iter: int,
    tol: float,
    sigma: Sequence[float],
    to_lab: bool,
    slic_zero: bool,
    enforce_connectivity: bool,
    min_size_factor: float,
    start_label: int,
    mask: NDArray[np.bool_] | None,
    spacing: Sequence[float],
    initial_centers: NDArray[np.float64] | None,
) -> tuple[NDArray[np.int32], int]: ...
def superpixel_stats(
    labels: NDArray[np.int32], image: NDArray[Any], axes: Sequence[int], n: int, start_label: int, lab: bool
) -> dict[str, NDArray[Any]]: ...

class Lattice32:
    def __init__(self, features: NDArray[np.float32]) -> None: ...
    def filter(self, values: NDArray[np.float32], normalization: int, transpose: bool) -> NDArray[np.float32]: ...
    def feature_gradient(self, cotangent: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]: ...
    @property
    def points(self) -> int: ...
    @property
    def dims(self) -> int: ...
    @property
    def vertices(self) -> int: ...

class Lattice64:
    def __init__(self, features: NDArray[np.float64]) -> None: ...
    def filter(self, values: NDArray[np.float64], normalization: int, transpose: bool) -> NDArray[np.float64]: ...
    def feature_gradient(self, cotangent: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]: ...
    @property
    def points(self) -> int: ...
    @property
    def dims(self) -> int: ...
    @property
    def vertices(self) -> int: ...

class CrfPlan:
    def __init__(
        self, image: NDArray[Any] | None, axes: Sequence[int], points: int, kernels: list[tuple[Any, ...]]
    ) -> None: ...
    def infer(
        self,
        unary: NDArray[np.float32],
        kind: int,
        compat: list[NDArray[np.float32]],
        n_iter: int,
        half: bool,
        out: NDArray[np.float32],
    ) -> None: ...
    def gains(self) -> list[float]: ...
    @property
    def points(self) -> int: ...

def crf_class_ratios(unary: NDArray[np.float32], kind: int) -> list[float]: ...
def crf_forget_positions() -> None: ...
def deform_attention(
    value: NDArray[Any],
    spatial_shapes: NDArray[np.int64],
    level_start_index: NDArray[np.int64] | None,
    reference_points: NDArray[Any] | None,
    places: NDArray[Any],
    weights: NDArray[Any],
) -> NDArray[Any]: ...
def turbopixels(
    image: NDArray[Any],
    axes: Sequence[int],
    n_segments: int,
    alpha: float,
    beta: float,
    nu: float,
    gamma: float,
    sigma: float,
    max_iter: int,
    enforce_connectivity: bool,
    start_label: int,
) -> tuple[NDArray[np.int32], int]: ...
def roi_align(
    features: NDArray[Any],
    boxes: NDArray[Any],
    height: int,
    width: int,
    scale: float,
    sampling: int,
    aligned: bool,
    channels_last: bool,
) -> NDArray[Any]: ...
def nms(
    boxes: NDArray[Any], scores: NDArray[Any], threshold: float, classes: NDArray[np.int64] | None
) -> NDArray[np.int64]: ...
def paste_masks(
    masks: NDArray[np.float32],
    boxes: NDArray[Any],
    height: int,
    width: int,
    threshold: float | None,
    whole_pixels: bool,
) -> NDArray[Any]: ...
def depthwise_conv2d(
    x: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    relu: bool,
) -> NDArray[Any]: ...
def max_pool(
    x: NDArray[Any], window: Sequence[int], ceil_mode: bool, index: int
) -> tuple[NDArray[Any], NDArray[Any]]: ...
def max_spread(
    y: NDArray[Any],
    indices: NDArray[Any],
    window: Sequence[int],
    windowed: bool,
    scale: NDArray[np.float64] | None,
    shift: NDArray[np.float64] | None,
    out: NDArray[Any],
) -> None: ...
def max_unpool_output(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]: ...
