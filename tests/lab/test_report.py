"""Reports of made-up runs whose numbers are known, and of real ones."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from layerdropback import UsageError
from layerdropback.lab.packed import pack, text_of
from layerdropback.lab.record import Record
from layerdropback.lab.report.build import make_report
from layerdropback.lab.report.results import COLUMNS
from layerdropback.training.config import TrainConfig
from layerdropback.training.run import train
from pages import Checked

TINY = ["--model", "test_resnet", "--limit-train", "96", "--limit-test", "40"]
TINY += ["--batch-size", "16", "--epochs", "3"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of ``ldb train``, to be copied."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    sizes = {"limit_train": 96, "limit_test": 40, "batch_size": 16, "epochs": 3}
    train(TrainConfig(model="test_resnet", out=folder, **sizes), Console(quiet=True))
    return folder


def folded(markdown, title):
    return json.loads(markdown.split(f"{title}\n\n```json\n")[1].split("```")[0])


@pytest.fixture
def comparison(run, tmp_path, short_pilot):
    three_steps = ["--limit-train", "48"]
    assert run("compare", *TINY, *three_steps, "--seeds", "2", "--out", "lab")[0] == 0
    return tmp_path / "lab"


def test_a_comparisons_report_has_everything(comparison, run):
    text = (comparison / "report.html").read_text()
    page = Checked(text)
    words = " ".join(page.words)
    assert page.parts[:5] == ["h1", "h2", "verdict", "p", "table"], "the verdict, then the table"
    assert "bands from the lowest seed to the highest" in words
    assert [len(table[0]) for table in page.tables] == [len(COLUMNS), 7]
    assert page.tables[0][0] == list(COLUMNS)
    record = json.loads((comparison / "comparison.json").read_text())
    for arm in record["arms"]:
        assert arm["name"] in words
    for part in ("Result", "Every run", "Curves", "How often each layer was updated"):
        assert f"<h2>{part}</h2>" in text
    assert "n = 2 seeds" in words
    assert record["command"] in words
    assert record["facts"]["versions"]["torch"] in words
    assert text.count("<svg") == 4
    assert "width=device-width" in text
    # How many epochs plain training of equal time has is the pilot's to say.
    finals = {(row["arm"], row["seed"]): row for row in record["epochs"]}.values()
    for row in finals:
        assert f"{row['test_accuracy']:.2f}" in words
    markdown = (comparison / "report.md").read_text()
    assert "| arm" in markdown
    assert "> ldb: " in markdown
    assert "## Every run" in markdown
    assert "## Curves" not in markdown, "its plots are in the page alone"
    plain, *others = record["arms"]
    assert folded(markdown, "settings of plain:") == plain["settings"]
    for arm in others:
        differs = folded(markdown, f"settings of {arm['name']}, where they are not those of plain:")
        assert plain["settings"] | differs == arm["settings"]
        assert "model" not in differs
    with (comparison / "epochs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(record["epochs"])
    assert {row["run"] for row in rows} == {arm["name"] for arm in record["arms"]}
    first = record["epochs"][0]
    assert float(rows[0]["train_loss"]) == first["train_loss"]
    assert float(rows[0]["seconds_forward"]) == first["phases"]["forward"]


@pytest.mark.slow
def test_a_report_is_the_same_again(comparison, run):
    before = (comparison / "report.html").read_bytes()
    code, output, _ = run("report", "lab")
    assert (code, output) == (0, "wrote lab/report.html\n")
    assert (comparison / "report.html").read_bytes() == before


def test_runs_of_ldb_train_are_reported_together(run, tmp_path):
    for name, flags in {"a": [], "b": ["--drop-rate", "0"]}.items():
        assert run("train", *TINY, *flags, "--out", name)[0] == 0
    code, output, errors = run("report", "a", "b", "--out", "both")
    assert (code, output, errors) == (0, "wrote both/report.html\n", "")
    text = (tmp_path / "both" / "report.html").read_text()
    words = " ".join(Checked(text).words)
    assert "Result of a" in words
    assert "Result of b" in words
    assert words.count("n = 1 run: no comparison, and no claim.") == 2
    assert "bands" not in words
    assert "How often each layer" not in words
    assert not (tmp_path / "a" / "report.html").exists()


CARDS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.mark.parametrize(
    "card",
    [
        "2026-11-23-evidence-tune-resnet-screen-2",
        pytest.param("2026-11-24-evidence-scratch-resnet", marks=pytest.mark.slow),
    ],
)
def test_records_of_earlier_releases_are_reported(run, tmp_path, card):
    """Their arms have strategies and settings that are no more."""
    (tmp_path / "old").mkdir()
    record = CARDS / f"{card}.json.gz"
    assert "resample" in text_of(record)
    shutil.copy(record, tmp_path / "old" / "comparison.json.gz")
    code, _, errors = run("report", "old")
    assert (code, errors) == (0, "")
    Checked((tmp_path / "old" / "report.html").read_text())


def test_a_cards_record_is_reported_by_itself(run, tmp_path):
    record = CARDS / "2026-11-24-evidence-scratch-resnet.json.gz"
    code, _, errors = run("report", record)
    assert code == 2
    assert f"{record} is a file. Cause: a report goes into its run's folder. Cure: give a" in errors
    code, output, errors = run("report", record, "--out", "page")
    assert (code, output, errors) == (0, "wrote page/report.html\n", "")
    card = record.with_name(record.name.removesuffix(".json.gz") + ".md").read_text()
    made = (tmp_path / "page" / "report.md").read_text()
    verdicts = re.findall(r"^> .*$", card, re.MULTILINE)
    assert len(verdicts) == 2
    assert re.findall(r"^> .*$", made, re.MULTILINE) == verdicts


def test_a_plain_record_comes_before_a_compressed_one(tmp_path):
    plain = {"name": "plain", "role": "plain", "of": None, "says": "", "settings": {"epochs": 1}}
    data = {"name": "lines", "train": 9, "test": 9}
    pair = [Record("ldb", {}, data, {}, {}, [plain], [n], margin=0.5) for n in (1, 2)]
    values = json.loads(pair[1].as_text())
    (tmp_path / "comparison.json.gz").write_bytes(pack(values))
    assert Record.read(tmp_path).seeds == [2]
    assert Record.read(tmp_path / "comparison.json.gz").seeds == [2]
    pair[0].write(tmp_path)
    assert Record.read(tmp_path).seeds == [1]


def test_runs_of_earlier_releases_are_reported(run, tmp_path, finished):
    shutil.copytree(finished, tmp_path / "old")
    settings = tmp_path / "old" / "settings.yaml"
    settings.write_text(settings.read_text() + "resample: step\nmasks: null\n")
    lines = (tmp_path / "old" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) | {"drop_chances": {"fc": 0.0}} for line in lines]
    (tmp_path / "old" / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert run("report", "old")[0] == 0
    text = (tmp_path / "old" / "report.html").read_text()
    assert "resample" in text
    Checked(text)


@pytest.mark.slow
def test_runs_of_one_name_are_told_apart(run, tmp_path):
    for name in ("x/run", "y/run"):
        assert run("train", *TINY, "--out", name)[0] == 0
    assert run("report", "x/run", "y/run", "--out", "both")[0] == 0
    with (tmp_path / "both" / "epochs.csv").open() as file:
        assert {row["run"] for row in csv.DictReader(file)} == {"1: run run", "2: run run"}


def test_names_are_text_and_no_markup(run, tmp_path, finished):
    shutil.copytree(finished, tmp_path / "<b>&run")
    assert run("report", "<b>&run")[0] == 0
    text = (tmp_path / "<b>&run" / "report.html").read_text()
    assert "<b>" not in text
    assert re.search(r"<h1>LayerDropBack: &lt;b&gt;&amp;run</h1>", text)
    Checked(text)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, "holds no run. Cause: it holds neither comparison.json nor metrics"),
        (
            lambda folder: (folder / "comparison.json").write_text("{"),
            "cannot read lab/comparison.json. Cause: it is no comparison of ldb.",
        ),
        (
            lambda folder: (folder / "comparison.json").write_text('{"format": 9}'),
            "its format is 9, and this release reads 1",
        ),
        (
            lambda folder: (folder / "comparison.json.gz").write_text("{}"),
            "cannot read lab/comparison.json.gz. Cause: it is not compressed with gzip",
        ),
        (
            lambda folder: (folder / "comparison.json.gz").write_bytes(pack({"format": 1})[:-9]),
            "cannot read lab/comparison.json.gz. Cause: it is not compressed with gzip",
        ),
    ],
)
def test_what_is_no_run_is_told(run, tmp_path, make, words):
    (tmp_path / "lab").mkdir()
    make(tmp_path / "lab")
    code, _, errors = run("report", "lab")
    assert code == 2
    assert words in errors
    assert errors.count("\n") == 1


def test_without_runs_there_is_no_report(run):
    code, _, errors = run("report")
    assert code == 2
    assert "Missing argument" in errors


def test_a_folder_that_cannot_be_made(tmp_path, finished):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the report in .*file.* Cure: give another"):
        make_report([finished], tmp_path / "file")
