"""What a run came to, to be compared with another's."""

import hashlib
import json

# What a clock or the system reports of an epoch.
MEASURED = ("seconds", "images_per_second", "phases", "peak_memory_mib")


def digest(run):
    return hashlib.sha256((run / "weights.safetensors").read_bytes()).hexdigest()


def rows(run):
    """The metrics, but for what a clock or the system tells."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in line if key not in MEASURED} for line in lines]
