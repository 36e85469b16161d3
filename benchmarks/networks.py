"""Whole networks, patched against unpatched: DeepLab v3 in evaluation and SegNet in training, in one process.

python benchmarks/networks.py [--threads N ...] [--rounds N] [--out FILE]

The networks are torchvision's ``deeplabv3_resnet50`` (same modules, names and state_dict, without the auxiliary head)
and SegNet (Badrinarayanan et al., TPAMI 2017: VGG-16 with batch normalisation, unpooling by stored indices), both of
torch.nn alone, with random weights, float32, contiguous, as users have them.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from environment import describe, footnote
from torch import Tensor, nn

import pyseg

HERE = Path(__file__).resolve().parent


class Bottleneck(nn.Module):
    def __init__(self, channels: int, width: int, stride: int, rate: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, rate, rate, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))  # type: ignore[no-any-return]


def backbone() -> nn.Sequential:
    """ResNet-50 at output stride 8."""
    stem = nn.Sequential()
    stem.add_module("conv1", nn.Conv2d(3, 64, 7, 2, 3, bias=False))
    stem.add_module("bn1", nn.BatchNorm2d(64))
    stem.add_module("relu", nn.ReLU(inplace=True))
    stem.add_module("maxpool", nn.MaxPool2d(3, 2, 1))
    channels, rate = 64, 1
    for i, (width, blocks, stride, dilated) in enumerate(
        ((64, 3, 1, False), (128, 4, 2, False), (256, 6, 2, True), (512, 3, 2, True)), 1
    ):
        before = rate
        if dilated:
            rate, stride = rate * stride, 1
        layer = [Bottleneck(channels, width, stride, before)]
        layer += [Bottleneck(4 * width, width, 1, rate) for _ in range(blocks - 1)]
        stem.add_module(f"layer{i}", nn.Sequential(*layer))
        channels = 4 * width
    return stem


class Pooling(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        for layer in self:
            x = layer(x)
        return nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


class ASPP(nn.Module):
    def __init__(self, channels: int, rates: tuple[int, ...], outputs: int) -> None:
        super().__init__()

        def block(conv: nn.Conv2d) -> list[nn.Module]:
            return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]

        def point(inputs: int) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, 1, bias=False)

        atrous = [nn.Conv2d(channels, outputs, 3, padding=r, dilation=r, bias=False) for r in rates]
        self.convs = nn.ModuleList([nn.Sequential(*block(point(channels)))])
        self.convs.extend([nn.Sequential(*block(conv)) for conv in atrous])
        self.convs.append(Pooling(nn.AdaptiveAvgPool2d(1), *block(point(channels))))
        self.project = nn.Sequential(*block(point(outputs * (len(rates) + 2))), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(torch.cat([conv(x) for conv in self.convs], 1))  # type: ignore[no-any-return]


class DeepLabV3(nn.Module):
    def __init__(self, classes: int = 21) -> None:
        super().__init__()
        self.backbone = backbone()
        self.classifier = nn.Sequential(
            ASPP(2048, (12, 24, 36), 256),
            nn.Conv2d(256, 256, 3, padding=1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.Conv2d(256, classes, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.classifier(self.backbone(x))
        return nn.functional.interpolate(y, size=x.shape[-2:], mode="bilinear", align_corners=False)


class SegNet(nn.Module):
    STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))

    def __init__(self, classes: int = 11) -> None:
        super().__init__()
        down, up, channels = [], [], 3
        for stage in self.STAGES:
            down.append(self._stage((channels, *stage)))
            up.insert(0, self._stage((*stage[::-1], channels if channels != 3 else 64)))
            channels = stage[-1]
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)
        self.pool, self.unpool = nn.MaxPool2d(2, 2, return_indices=True), nn.MaxUnpool2d(2, 2)
        self.classifier = nn.Conv2d(64, classes, 3, padding=1)

    @staticmethod
    def _stage(widths: tuple[int, ...]) -> nn.Sequential:
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for stage in self.down:
            x = stage(x)
            size = x.shape[-2:]
            x, indices = self.pool(x)
            kept.append((indices, size))
        for stage in self.up:
            indices, size = kept.pop()
            x = stage(self.unpool(x, indices, output_size=size))
        return self.classifier(x)  # type: ignore[no-any-return]


def evaluation(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.no_grad():
            return model(x)  # type: ignore[no-any-return]

    return run


def training(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """Forward, loss, backward, and a step that moves nothing, so that both networks stay the same."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    target = torch.randint(0, 11, (x.shape[0], *x.shape[2:]), generator=torch.Generator().manual_seed(1))

    def run() -> Tensor:
        optimizer.zero_grad()
        y: Tensor = model(x)
        nn.functional.cross_entropy(y, target).backward()
        optimizer.step()
        return y.detach()

    return run


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], bool]] = {
    "DeepLab v3, ResNet-50, 513x513, evaluation": (DeepLabV3, (1, 3, 513, 513), False),
    "SegNet, 360x480, training step": (SegNet, (1, 3, 360, 480), True),
}


def measure(name: str, threads: int, rounds: int) -> dict[str, Any]:
    make, shape, train = NETWORKS[name]
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    model = make().train(train)
    patched = copy.deepcopy(model)
    report = pyseg.patch(patched)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    step = training if train else evaluation
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    runs = {
        "unpatched": step(model, x),
        "unpatched, channels last": step(last, x.contiguous(memory_format=torch.channels_last)),
        "patched": step(patched, x),
    }
    if not train:
        runs["patched, with F(4,3)"] = runs["patched"]
    clock = time.process_time if threads == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {run: [] for run in runs}
    results: dict[str, Tensor] = {}
    for i in range(rounds + 1):
        for run in runs if i % 2 else list(runs)[::-1]:
            pyseg.backends.allow_winograd4 = "F(4,3)" in run
            start = clock()
            results[run] = runs[run]()
            if i:  # the first warms up
                seconds[run].append(clock() - start)
    pyseg.backends.allow_winograd4 = False
    want = results["unpatched"]
    return {
        "network": name,
        "threads": threads,
        "replaced": len(report.replaced),
        "seconds": {run: statistics.median(s) for run, s in seconds.items()},
        "ratios": {
            run: statistics.median(a / b for a, b in zip(seconds["unpatched"], s, strict=True))
            for run, s in seconds.items()
        },
        "differences": {run: float((y - want).abs().max() / want.abs().max()) for run, y in results.items()},
    }


def markdown(document: dict[str, Any]) -> str:
    lines = ["# Whole networks, patched", "", "| | threads | s | unpatched / this | largest difference |"]
    lines.append("|---|---:|---:|---:|---:|")
    for row in document["rows"]:
        for run, seconds in row["seconds"].items():
            ratio = f"**{row['ratios'][run]:.2f}x**" if run != "unpatched" else ""
            moved = f"{row['differences'][run]:.0e}" if run != "unpatched" else ""
            lines.append(f"| {row['network']}: {run} | {row['threads']} | {seconds:.2f} | {ratio} | {moved} |")
    lines += [
        "",
        "Differences are from the unpatched network, in parts of the largest output. SegNet's are those of any other "
        "rounding, torch's own in channels last too: where two values of a window are equal but for the last digits, "
        "another place is kept. " + footnote(document["environment"]),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Whole networks, patched against unpatched.")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "networks.md", metavar="FILE")
    options = parser.parse_args()
    rows = [measure(name, threads, options.rounds) for name in NETWORKS for threads in options.threads]
    document = {"rows": rows, "environment": describe()}
    options.out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    options.out.write_text(markdown(document), encoding="utf-8")
    print(markdown(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
