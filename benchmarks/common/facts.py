"""What the numbers depend on: versions and hardware, as records and cards have it."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch

from layerdropback.runs.machine import measured_on

Facts = dict[str, Any]


def facts_of(device: str | torch.device = "cpu", *packages: ModuleType) -> Facts:
    """Versions, those of more packages among them, and hardware.

    To be called before anything is measured: the commit is of the code that is measured.
    """
    facts = measured_on(torch.device(device))
    facts["versions"] |= {package.__name__: package.__version__ for package in packages}
    return facts


def sentence(facts: Facts, processes: str | None = None, *more: str) -> str:
    """For a card's head.

    Args:
        facts: of `facts_of`.
        processes: in words; None: one, with its threads.
        more: what else belongs to the versions.

    Example:
        >>> versions = {"torch": "2.14", "timm": "1.0", "layerdropback": "0.1", "commit": "a"}
        >>> hardware = {"device": "A CPU", "threads": 2}
        >>> sentence({"versions": versions, "hardware": hardware})
        'A CPU, 2 CPU threads; torch 2.14, timm 1.0, layerdropback 0.1, commit a.'
    """
    hardware, versions = facts["hardware"], {"commit": "unknown", **facts["versions"]}
    of_packages = [f"{name} {versions[name]}" for name in ("torch", "timm", "layerdropback")]
    processes = processes or f"{hardware['threads']} CPU threads"
    all_versions = ", ".join([*of_packages, *more, f"commit {versions['commit']}"])
    return f"{hardware['device']}, {processes}; {all_versions}."


def listed(facts: Mapping[str, Any]) -> str:
    """All of them, for a card's end.

    Example:
        >>> listed({"versions": {"torch": "2.14"}, "hardware": {"threads": 2}})
        'torch 2.14; threads 2'
    """
    parts = (facts["versions"], facts["hardware"])
    return "; ".join(f"{name} {value}" for part in parts for name, value in part.items())
