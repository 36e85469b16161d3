"""The benchmarks on the CPU, with one command: of each operation one JSON, one table, and a chart where there is one.

python benchmarks/run.py [OP ...] [--quick] [--threads N ...] [--sizes WxH ...] [--out FOLDER]
python benchmarks/run.py [OP ...] --redraw [--out FOLDER]     # tables and charts, from the JSON that is there
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from environment import ROOT, describe

HERE = Path(__file__).resolve().parent
QUICK_SIZES = ["481x321", "1280x720"]
# Of each operation the module that has markdown(document), and may have extras(quick) and draw(document, path).
OPS = {
    "aspp": "layer_report",
    "atrous_conv": "layer_report",
    "slic": "report",
    "deform_attention": "deform_report",
    "dense_crf": "crf_report",
    "depthwise_conv": "depthwise_report",
    "felzenszwalb": "family_report",
    "max_unpool": "max_unpool_report",
    "masked_attention": "masked_report",
    "quickshift": "family_report",
    "relpos_attention": "relpos_report",
    "turbopixels": "family_report",
    "roi_align": "boxes_report",
    "nms": "boxes_report",
    "paste_masks": "boxes_report",
}


def main() -> int:
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    return max(_one(op, options) for op in options.ops or OPS)


def _one(op: str, options: argparse.Namespace) -> int:
    stored = options.out / f"{op}.json"
    module = importlib.import_module(OPS[op])
    if not options.redraw:
        document = _speed(op, options)
        if document is None:
            return 1
        document["environment"] = describe()
        if hasattr(module, "extras"):
            print(f"{op}: other measures ...", flush=True)
            document |= module.extras(options.quick)
        stored.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    document = json.loads(stored.read_text(encoding="utf-8"))
    text = module.markdown(document)
    (options.out / f"{op}.md").write_text(text, encoding="utf-8")
    if hasattr(module, "draw"):
        try:
            module.draw(document, options.out / f"{op}.png")
        except ImportError as error:
            print(f"no chart: {error}", file=sys.stderr)
    print(text)
    return 0


def _speed(op: str, options: argparse.Namespace) -> dict[str, Any] | None:
    """Runs the suite; pytest-benchmark's document, without what tells of the place and not of the machine."""
    environment = dict(os.environ)
    sizes = options.sizes or (QUICK_SIZES if options.quick else None)
    if sizes:
        environment["PYSEG_BENCH_SIZES"] = ",".join(sizes)
    if options.threads:
        environment["PYSEG_BENCH_THREADS"] = ",".join(map(str, options.threads))
    command = [sys.executable, "-m", "pytest", "--benchmark-only", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["--benchmark-columns=median,min,rounds", "--benchmark-sort=min", str(HERE / "ops" / f"test_{op}.py")]
    if options.quick:
        environment["PYSEG_BENCH_TIME"] = "0.1"
        command += ["-k", "not volume and not cityscapes"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "benchmark.json"
        code = subprocess.run([*command, f"--benchmark-json={file}"], cwd=ROOT, env=environment, check=False).returncode
        if code != 0 or not file.is_file():
            print(f"the suite of {op} failed with code {code}: nothing is written", file=sys.stderr)
            return None
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    document["machine_info"].pop("node", None)
    document["machine_info"].get("cpu", {}).pop("flags", None)
    for key in ("project", "branch"):
        document["commit_info"].pop(key, None)
    for row in document["benchmarks"]:
        row["stats"].pop("data", None)
    return document


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The benchmarks on the CPU.")
    parser.add_argument("ops", nargs="*", metavar="OP", help=f"of {', '.join(OPS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="few rounds, small images: a look, not a measurement")
    parser.add_argument("--threads", type=int, nargs="+", metavar="N", help="default: 1 2")
    parser.add_argument("--sizes", nargs="+", metavar="WxH", help="default: 481x321 1280x720 1920x1080 3840x2160")
    parser.add_argument("--out", type=Path, default=HERE / "results", metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("--redraw", action="store_true", help="only tables and charts, from the JSON in FOLDER")
    options = parser.parse_args()
    if unknown := set(options.ops) - set(OPS):
        parser.error(f"OP must be of {', '.join(OPS)}, got {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    sys.exit(main())
