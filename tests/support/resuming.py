"""Runs that are stopped and resumed."""

import sys

import pytest

from command import metrics_of, stop_after

LDB = [sys.executable, "-m", "layerdropback"]
SMALL = ["--model", "test_resnet", "--limit-train", "96", "--limit-test", "20", "--batch-size", "8"]
MEASURED = ("seconds", "images_per_second", "phases", "peak_memory_mib")


def numbers(folder):
    return [
        {key: value for key, value in line.items() if key not in MEASURED}
        for line in metrics_of(folder)
    ]


def weights(folder):
    return (folder / "weights.safetensors").read_bytes()


def stopped(run, *flags):
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 8)
        assert run("train", *flags, "--out", "run")[0] == 143
