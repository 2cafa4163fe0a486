"""README's figure is what its record shows, and its words have room."""

import re
from xml.etree import ElementTree

import pytest

from benchmarks.cards import evidence_lists, figure, places
from benchmarks.cards.evidence_rows import RESULTS
from benchmarks.common.card_files import RECORD, beside
from layerdropback.lab.record import Record

# Time of plain's, accuracy, and strategy of what a sweep may have.
ARMS = {
    "plain": (1.0, 96.0, None),
    "plain 0.75": (0.75, 95.2, None),
    "plain 0.5": (0.5, 94.1, None),
    "truncate 0.3": (0.78, 96.1, "truncate"),
    "truncate 0.5": (0.64, 95.9, "truncate"),
    "truncate 0.5 falling": (0.66, 95.7, "truncate"),
    "uniform 0.5": (0.87, 93.0, "uniform"),
    "branch 0.3": (0.86, 95.6, "branch"),
    "branch 0.5": (0.79, 94.9, "branch"),
    "blocks 2": (0.62, 94.0, "blocks"),
    "branch 0.3 by flow": (0.87, 95.8, "branch"),
    "branch 0.5 by flow": (0.8, 95.3, "branch"),
    "LoRA 8": (0.77, 93.4, None),
    "frozen half": (0.63, 95.8, None),
}
ROLES = {"plain": "plain", "plain 0.75": "shorter", "plain 0.5": "shorter"}


def swept(arms=ARMS, seeds=3, spread=0.3, **roles):
    """A record of a sweep; all seeds differ alike in all arms, and a little by arm."""
    settings = {"epochs": 1, "drop_rate": 0.5, "every": 1}
    made = [
        {
            "name": name,
            "role": (ROLES | roles).get(name, "method"),
            "of": None,
            "says": name,
            "settings": settings | {"strategy": strategy},
        }
        for name, (_, _, strategy) in arms.items()
    ]
    rows = [
        {"arm": name, "seed": seed, "epoch": 1, "mode": "full", "steps": 10, "seconds": 20 * time}
        | {"test_accuracy": accuracy + spread * (seed - 1) + 0.1 * ((number + seed) % 3)}
        for number, (name, (time, accuracy, _)) in enumerate(arms.items())
        for seed in range(seeds)
    ]
    data = {"name": "x", "train": 1000, "test": 500, "unit": "sentences"}
    more = {"kind": "sweep", "epochs": rows}
    return Record("", {}, data, {}, {}, made, list(range(seeds)), 0.5, **more)


def texts(svg):
    return ["".join(found.itertext()) for found in ElementTree.fromstring(svg).iter() if found.text]


def test_the_figure_is_what_its_record_shows():
    record = Record.read(beside(RESULTS / evidence_lists.FIGURE, RECORD))
    drawn = figure.of_card(evidence_lists.FIGURE)
    assert figure.FILE.read_text() == drawn, "run python -m benchmarks figure"
    assert set(record.names("method")) <= {*texts(drawn)}


def test_every_method_has_its_name_mark_and_interval():
    record = swept(seeds=8)
    drawn = figure.picture("a <model> on x", record)
    assert set(record.names("method")) <= {*texts(drawn)}
    assert {"a <model> on x", "500 held-out sentences, 8 seeds"} <= {*texts(drawn)}
    _, methods = figure.chosen(record)
    assert len(re.findall(r'opacity=".5"', drawn)) == len(methods) == 11
    marks = drawn.partition("<polyline")[2]
    assert marks.count("<rect") == 3
    assert marks.count("<circle") == 9
    assert len(re.findall(r'<path d="M[\d. ]+l5 5', marks)) == 2  # LoRA and what is frozen
    shown = [point.name for point in methods if point.shown]
    assert 0 < len(shown) < len(methods)
    assert marks.count(f'fill="{figure.GAIN}"') == len(shown)


def test_an_interval_is_that_of_the_distance_to_the_curve():
    _, methods = figure.chosen(swept())
    for point in methods:
        low, high = figure.ends_of(point)
        assert low < point.accuracy.mean < high
        assert high - low == pytest.approx(point.over_plain.high - point.over_plain.low)
    _, (one, *_) = figure.chosen(swept(seeds=1))
    assert figure.ends_of(one) == (one.accuracy.mean, one.accuracy.mean)


def test_a_control_is_neither_plain_training_nor_a_method():
    record = swept(**{"uniform 0.5": "control"})
    plain, methods = figure.chosen(record)
    assert [point.name for point in plain] == ["plain 0.5", "plain 0.75", "plain"]
    assert "uniform 0.5" not in [point.name for point in methods]


def test_labels_cover_neither_each_other_nor_points():
    points = [(60 + 9 * number, 100 + 5 * (number % 3)) for number in range(12)]
    names = [f"a name {number}" for number in range(12)]
    marks = [places.Box(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    within = places.Box(0, 0, 400, 300)
    found = places.placed(names, points, marks, within)
    for number, box in enumerate(found):
        assert box.shared(within) == pytest.approx(box.area)
        assert sum(map(box.shared, marks)) < 0.1 * box.area
        assert sum(map(box.shared, found[:number])) < 0.1 * box.area


def test_values_have_places_and_round_ticks():
    scale = places.Scale.over([50, 100], 0, 100)
    assert 0 < scale(50) < scale(100) < 100
    assert scale.ticks() == [50, 60, 70, 80, 90, 100]
    assert places.Scale.over([94.1, 96.3], 300, 60).ticks() == [94, 94.5, 95, 95.5, 96]
    assert places.Scale.over([7, 7], 0, 10)(7) == 5
