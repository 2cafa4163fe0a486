"""Freed memory that is kept: no page of it is found and cleared again."""

import json
import os
import platform
import subprocess
import sys

import pytest
import torch

from layerdropback.runs import allocator

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

# Steps that hold 80 MiB; what the last of them took of the system.
SCRIPT = """
import json, resource, sys, torch
from layerdropback.runs.allocator import freed_memory_is_kept, keep_freed_memory
keep_freed_memory(torch.device(sys.argv[1]))
def step():
    held = [torch.ones(4, 2**18) for _ in range(20)]
for _ in range(20):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
found = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([freed_memory_is_kept(), (found.ru_minflt - before) / 5, found.ru_maxrss / 1024]))
"""


def steps(device, **environment):
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("MALLOC_", "GLIBC_TUN"))}
    command = [sys.executable, "-c", SCRIPT, device]
    done = subprocess.run(
        command, env=clean | environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_step_takes_nothing_anew_and_the_peak_stays():
    kept, faults, peak = steps("cpu")
    # By itself glibc gives memory back or not, as the heap happens to lie; the next test tells it.
    by_itself, _, peak_of_glibc = steps("cuda")
    assert kept
    assert not by_itself
    assert faults < 100
    assert peak < 1.1 * peak_of_glibc


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"MALLOC_TRIM_THRESHOLD_": "131072"},
        {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"},
    ],
)
def test_settings_of_the_user_are_left_as_they_are(environment):
    kept, faults, _ = steps("cpu", **environment)
    assert not kept
    assert faults > 10_000  # of 20,480 pages


def test_where_there_is_no_glibc_nothing_is_done(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(allocator.ctypes, "CDLL", None)  # nothing is called
    allocator._keep.cache_clear()
    try:
        allocator.keep_freed_memory(torch.device("cpu"))
        assert not allocator.freed_memory_is_kept()
    finally:
        allocator._keep.cache_clear()
