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
def felzenszwalb(
    image: NDArray[Any],
    axes: Sequence[int],
    scale: float,
    sigma: float,
    min_size: int,
    start_label: int,
    kernel: Sequence[float] = ...,
) -> tuple[NDArray[np.int32], int]: ...
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
