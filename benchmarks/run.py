"""All benchmarks of slic on the CPU, with one command: speed, quality, one JSON, one table, one chart.

python benchmarks/run.py [--quick] [--threads N ...] [--sizes WxH ...] [--out FOLDER]
python benchmarks/run.py --redraw [--out FOLDER]     # the table and the chart, from the JSON that is there
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import chart
import quality
import report
from environment import ROOT, describe

HERE = Path(__file__).resolve().parent
QUICK_SIZES = ["481x321", "1280x720"]


def main() -> int:
    options = _options()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    stored = out / "slic.json"
    if not options.redraw:
        document = _speed(options)
        if document is None:
            return 1
        print("quality ...", flush=True)
        rows, note = quality.measure((400,), images=4) if options.quick else quality.measure()
        document |= {"environment": describe(), "quality": rows, "quality_note": note}
        stored.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    document = json.loads(stored.read_text(encoding="utf-8"))
    text = report.markdown(document)
    (out / "slic.md").write_text(text, encoding="utf-8")
    try:
        chart.draw(document, out / "slic.png")
    except ImportError as error:
        print(f"no chart: {error}", file=sys.stderr)
    print(text)
    return 0


def _speed(options: argparse.Namespace) -> dict[str, Any] | None:
    """Runs the suite; pytest-benchmark's document, without what tells of the place and not of the machine."""
    environment = dict(os.environ)
    sizes = options.sizes or (QUICK_SIZES if options.quick else None)
    if sizes:
        environment["PYSEG_BENCH_SIZES"] = ",".join(sizes)
    if options.threads:
        environment["PYSEG_BENCH_THREADS"] = ",".join(map(str, options.threads))
    command = [sys.executable, "-m", "pytest", "--benchmark-only", "-p", "no:cacheprovider"]
    command += ["--benchmark-columns=median,min,rounds", "--benchmark-sort=min", str(HERE / "ops" / "test_slic.py")]
    if options.quick:
        environment["PYSEG_BENCH_TIME"] = "0.1"
        command += ["-k", "not volume"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "benchmark.json"
        code = subprocess.run([*command, f"--benchmark-json={file}"], cwd=ROOT, env=environment, check=False).returncode
        if code != 0 or not file.is_file():
            print(f"the suite failed with code {code}: nothing is written", file=sys.stderr)
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
    parser = argparse.ArgumentParser(description="All benchmarks of slic on the CPU.")
    parser.add_argument("--quick", action="store_true", help="few rounds, small images: a look, not a measurement")
    parser.add_argument("--threads", type=int, nargs="+", metavar="N", help="default: 1 2")
    parser.add_argument("--sizes", nargs="+", metavar="WxH", help="default: 481x321 1280x720 1920x1080 3840x2160")
    parser.add_argument("--out", type=Path, default=HERE / "results", metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("--redraw", action="store_true", help="only the table and the chart, from the JSON in FOLDER")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
