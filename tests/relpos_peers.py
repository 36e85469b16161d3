"""SAM's attention in plain torch: what relpos_attention's values, gradients and errors are compared to."""

import torch
import torch.nn.functional as F


def table(rel, size):
    """As SAM's get_rel_pos brings a table to another size."""
    if rel.shape[0] == 2 * size - 1:
        return rel
    return F.interpolate(rel.T[None], size=2 * size - 1, mode="linear")[0].T


def whole_bias(q, rel_h, rel_w, size):
    """[B, heads, H W, H W] of the unscaled q."""
    height, width = size
    batch, heads, pixels, channels = q.shape
    rows = table(rel_h, height)[torch.arange(height)[:, None] - torch.arange(height) + height - 1]
    columns = table(rel_w, width)[torch.arange(width)[:, None] - torch.arange(width) + width - 1]
    maps = q.reshape(batch, heads, height, width, channels)
    of_y = torch.einsum("bhyxc,ykc->bhyxk", maps, rows)
    of_x = torch.einsum("bhyxc,xkc->bhyxk", maps, columns)
    return (of_y[..., None] + of_x[..., None, :]).reshape(batch, heads, pixels, pixels)


def eager(q, k, v, rel_h, rel_w, size, scale=None):
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = q @ k.transpose(-1, -2) * scale + whole_bias(q, rel_h.to(q.dtype), rel_w.to(q.dtype), size)
    return scores.softmax(-1) @ v


def problem(size, batch=2, heads=3, channels=64, dtype=torch.float32, lengths=None, seed=0, spread=0.2):
    """q, k, v, rel_h, rel_w that want gradients."""
    generator = torch.Generator().manual_seed(seed)
    pixels = size[0] * size[1]
    tensors = [torch.randn(batch, heads, pixels, channels, generator=generator) for _ in range(3)]
    for length in lengths or (2 * n - 1 for n in size):
        tensors.append(spread * torch.randn(length, channels, generator=generator))
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    return [t.to(dtype if i < 3 else wide).requires_grad_() for i, t in enumerate(tensors)]


def relative(x, want):
    """The root of the mean square of errors, in parts of that of the values."""
    return ((x.double() - want).norm() / want.norm().clamp(min=1e-30)).item()
