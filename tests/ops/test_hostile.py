"""No call crashes, hangs, allocates without bounds, modifies its input, or fails without a rule in words.

As a script, it makes the calls of a group, from the one after a given name on, and prints a line before and after each.
"""

import faulthandler
import os
import resource
import subprocess
import sys

import pytest

ASAN = "ASAN_OPTIONS" in os.environ  # it is slow, and takes terabytes of addresses
SECONDS = 60 if ASAN else 10  # a call
MEMORY = 12 * 2**30  # that a process may ask for: a call that allocates more than a few GB fails

GROUPS = [
    *("slic", "felzenszwalb", "quickshift", "turbopixels", "stats", "torch", "bypass", "threads"),
    "deform",
    "depthwise_conv",
    *("max_unpool", "max_unpool bypass"),
    *("crf", "crf arrays", "crf labels", "lattice", "crf bypass"),
    *("roi_align", "nms", "paste_masks"),
    "atrous_conv",
]


def run(group, after):
    process = subprocess.run(
        [sys.executable, __file__, group, after], capture_output=True, text=True, timeout=600, check=False
    )
    outcomes, name = {}, None
    for line in process.stdout.splitlines():
        name, _, outcomes[name] = line.partition("\t")
    if process.returncode == 0:
        return outcomes, None
    assert name is not None, process.stderr[-3000:]
    hang = "Timeout" in process.stderr
    outcomes[name] = f"hangs for {SECONDS} s" if hang else f"ends the process: exit code {process.returncode}"
    return outcomes, name


@pytest.mark.parametrize("group", [group for group in GROUPS if not (ASAN and group == "threads")])
def test_only_errors_in_words(group):
    outcomes, died = {}, ""
    while died is not None:
        more, died = run(group, died)
        outcomes |= more
    assert len(outcomes) > 5
    wrong = [f"{name}: {outcome}" for name, outcome in outcomes.items() if outcome != "ok"]
    assert not wrong, f"{len(wrong)} of {len(outcomes)} calls:\n" + "\n".join(wrong)


def main(group, after):
    import hostile
    import hostile_atrous_conv
    import hostile_boxes
    import hostile_crf
    import hostile_crf_rest
    import hostile_deform
    import hostile_depthwise_conv
    import hostile_felzenszwalb
    import hostile_max_unpool
    import hostile_quickshift
    import hostile_rest
    import hostile_slic
    import hostile_turbopixels
    import torch

    add = {
        "atrous_conv": hostile_atrous_conv.atrous_conv_cases,
        "slic": hostile_slic.slic_cases,
        "quickshift": hostile_quickshift.quickshift_cases,
        "felzenszwalb": hostile_felzenszwalb.felzenszwalb_cases,
        "stats": hostile_rest.stats_cases,
        "torch": hostile_rest.torch_cases,
        "bypass": hostile_rest.bypass_cases,
        "threads": hostile_rest.thread_cases,
        "depthwise_conv": hostile_depthwise_conv.depthwise_conv_cases,
        "turbopixels": hostile_turbopixels.turbopixels_cases,
        "deform": hostile_deform.deform_cases,
        "max_unpool": hostile_max_unpool.max_unpool_cases,
        "max_unpool bypass": hostile_max_unpool.max_unpool_bypass_cases,
        "crf": hostile_crf.crf_cases,
        "crf arrays": hostile_crf.crf_array_cases,
        "crf labels": hostile_crf_rest.labels_cases,
        "lattice": hostile_crf_rest.lattice_cases,
        "crf bypass": hostile_crf_rest.crf_bypass_cases,
        "roi_align": hostile_boxes.roi_align_cases,
        "nms": hostile_boxes.nms_cases,
        "paste_masks": hostile_boxes.paste_masks_cases,
    }
    add[group]()
    torch.set_num_threads(2)
    if not ASAN:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    names = list(hostile.CASES)
    for name in names[names.index(after) + 1 if after else 0 :]:
        print(f"{name}\tended the process", flush=True)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        outcome = hostile.outcome(name)
        faulthandler.cancel_dump_traceback_later()
        print(f"{name}\t{outcome}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
