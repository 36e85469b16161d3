"""What the tests of ops share: instruction sets and threads, put back after each test."""

import numpy as np
import pytest

import pyseg
from pyseg import _runtime

ISAS = ("baseline", "avx2", "avx512")


def force_isa(name):
    try:
        _runtime.native().set_isa(name)
    except ValueError as error:
        pytest.skip(str(error))
    _runtime.torch_ops().set_isa(name)


@pytest.fixture
def set_isa():
    """Forces an instruction set on the NumPy and the torch side; "" for the widest. Skips where there is none such."""
    return force_isa


@pytest.fixture(autouse=True)
def settings_put_back():
    import torch

    threads, torch_threads = pyseg.get_num_threads(), torch.get_num_threads()
    yield
    if pyseg.get_num_threads() != threads:
        pyseg.set_num_threads(threads)
    torch.set_num_threads(torch_threads)
    force_isa("")


@pytest.fixture(params=ISAS)
def isa(request):
    """Each instruction set in turn."""
    force_isa(request.param)
    return request.param


@pytest.fixture
def unchanged():
    """unchanged(array, ...): that they are the same, bit for bit, when the test ends."""
    kept = []

    def keep(*arrays):
        kept.extend((array, np.array(array, copy=True)) for array in arrays)

    yield keep
    for array, copy in kept:
        np.testing.assert_array_equal(array, copy)
