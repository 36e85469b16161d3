"""Max-pooling that remembers where, and unpooling: ``torch.nn.MaxPool*`` and ``MaxUnpool*``, with their arguments."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from pyseg.ops._max_unpool_window import PoolIndices, window_of
from pyseg.ops.max_unpool import KINDS, max_pool1d, max_pool2d, max_pool3d, max_unpool1d, max_unpool2d, max_unpool3d

__all__ = ["MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d"]


class _MaxPool(nn.Module):
    dims: ClassVar[int]
    run: ClassVar[Any]

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
        indices: str = "uint8",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if indices not in KINDS:
            raise ValueError(f"{name}: indices must be 'uint8', 'int32' or 'int64', got {indices!r}")
        window_of(name, self.dims, kernel_size, stride, padding, dilation)
        self.kernel_size, self.padding, self.dilation = kernel_size, padding, dilation
        self.stride = kernel_size if stride is None else stride
        self.return_indices, self.ceil_mode, self.indices = return_indices, ceil_mode, indices

    def forward(self, input: Tensor) -> Any:
        """Maxima, or with ``return_indices`` (maxima, indices)."""
        y, indices = type(self).run(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.indices
        )
        return (y, indices) if self.return_indices else y

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """:func:`pyseg.max_pool1d`. Arguments are ``torch.nn.MaxPool1d``'s, and ``indices``, "uint8" by default."""

    dims = 1
    run = staticmethod(max_pool1d)


class MaxPool2d(_MaxPool):
    """:func:`pyseg.max_pool2d`. Arguments are ``torch.nn.MaxPool2d``'s, and ``indices``, "uint8" by default."""

    dims = 2
    run = staticmethod(max_pool2d)


class MaxPool3d(_MaxPool):
    """:func:`pyseg.max_pool3d`. Arguments are ``torch.nn.MaxPool3d``'s, and ``indices``, "uint8" by default."""

    dims = 3
    run = staticmethod(max_pool3d)


class _MaxUnpool(nn.Module):
    dims: ClassVar[int]
    run: ClassVar[Any]

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        w = window_of(type(self).__name__, self.dims, kernel_size, stride, padding)
        self.kernel_size, self.stride, self.padding = w.kernel, w.stride, w.padding

    def forward(self, input: Tensor, indices: PoolIndices | Tensor, output_size: Any = None) -> Tensor:
        """``input`` where the indices say, zeros elsewhere."""
        return type(self).run(  # type: ignore[no-any-return]
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """:func:`pyseg.max_unpool1d`. Arguments are ``torch.nn.MaxUnpool1d``'s."""

    dims = 1
    run = staticmethod(max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """:func:`pyseg.max_unpool2d`. Arguments are ``torch.nn.MaxUnpool2d``'s."""

    dims = 2
    run = staticmethod(max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """:func:`pyseg.max_unpool3d`. Arguments are ``torch.nn.MaxUnpool3d``'s."""

    dims = 3
    run = staticmethod(max_unpool3d)
