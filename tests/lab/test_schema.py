"""Records and metrics that ldb has written are taken; what is missing or wrong is named."""

import copy
import gzip
import json
from pathlib import Path

import pytest

from layerdropback.lab.record import Record
from layerdropback.lab.schema import are_facts, unusable_metric, unusable_part

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
ROW = {"epoch": 1, "mode": "full", "steps": 4, "seconds": 1.0}
ROW |= {"train_loss": 1.0, "test_accuracy": 50.0}


def records():
    """Those of comparisons among what the benchmarks have left."""
    found = {path: json.loads(gzip.decompress(path.read_bytes())) for path in RESULTS.glob("*.gz")}
    return {path: each for path, each in found.items() if "arms" in each and "seeds" in each}


@pytest.fixture(scope="module")
def evidence():
    found = records()
    if not found:
        pytest.skip("the records of the evidence are not here")
    return found


def test_every_record_of_the_evidence_is_taken(evidence):
    for path in evidence:
        assert Record.read(path).arms, path


@pytest.fixture(scope="module")
def good(evidence):
    values = copy.deepcopy(min(evidence.values(), key=lambda each: len(each["epochs"])))
    del values["format"]
    return values


def test_what_is_wrong_is_named(good):
    assert unusable_part(good) is None
    for name in ("command", "facts", "data", "settings", "identity", "arms", "seeds", "margin"):
        assert unusable_part({k: v for k, v in good.items() if k != name}) == name
        assert unusable_part(good | {name: object()}) == name
    for name in ("epochs", "pilot", "trials", "tuned", "left_out", "dropped", "kind", "held_out"):
        assert unusable_part({k: v for k, v in good.items() if k != name}) is None
        assert unusable_part(good | {name: 3.5}) == name
    without = copy.deepcopy(good)
    without["arms"] = [arm for arm in good["arms"] if arm["role"] != "plain"]
    assert unusable_part(without) == "arms"


def test_metrics():
    assert unusable_metric(ROW) is None
    assert unusable_metric(ROW | {"phases": {"forward": 1.0}, "more": []}) is None
    for name, value in {"epoch": 0, "mode": 3, "steps": 0, "seconds": 0, "train_loss": "x"}.items():
        assert unusable_metric(ROW | {name: value}) == name
    assert unusable_metric(ROW | {"phases": None}) == "phases"
    assert unusable_metric(3) == ""


def test_facts():
    assert are_facts({"versions": {}, "hardware": {}})
    assert are_facts({})
    assert not are_facts([])
    assert not are_facts({"versions": None})
