"""What every table of wrong input needs: the files, and what a row must show."""

import re
import shlex

import pytest
from rich.console import Console

from spoiled import images, records, runs, sentences, settings, weights
from spoiled.folder import snapshot


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder for everything that the rows name; a module says by `NEEDS` what it wants there."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="session")
def make(place):
    """Makes what is needed, each part once."""
    makers = {
        "settings": lambda: settings.make_settings(place / "settings"),
        "images": lambda: images.make_images(place / "images"),
        "runs": lambda: runs.make_runs(place / "runs"),
        "weights": lambda: weights.make_weights(place / "weights", place / "runs" / "done"),
        "records": lambda: records.make_records(place / "records", a_record(place)),
        "sentences": lambda: sentences.make_sentence_files(place / "sentences"),
        "studies": lambda: sentences.make_studies(place),
        "models": lambda: sentences.make_models(place / "models", a_model(place)),
    }
    made = set()

    def needed(*parts):
        new = [part for part in parts if part not in made]
        for part in new:
            made.add(part)
            makers[part]()
        return bool(new)

    return needed


@pytest.fixture(scope="session")
def there():
    """What was in the place when somebody last looked: rows of all modules are one history."""
    return {}


def a_record(place):
    """The text of a good comparison's record."""
    import made_up_task
    from layerdropback.lab import compare, pilot, slices

    task, ways = made_up_task.study()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "SLICE", 0.002)
        patch.setattr(pilot, "ROUNDS", (2, 2))
        quiet = Console(quiet=True)
        return compare(task, ways, seeds=2, out=place / "a-comparison", console=quiet).as_text()


def a_model(place):
    from tiny_language import make_folder

    return make_folder(place / "a-model")


@pytest.fixture
def refused(request, place, make, there, capsys, monkeypatch):
    """Runs a command and looks at what it says, and at what it leaves.

    The expected line begins after ``ldb: error:``; three dots stand for anything.
    """
    from command import ldb

    if make(*request.module.NEEDS) or not there:
        there.clear()
        there.update(snapshot(place))
    monkeypatch.chdir(place)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")

    def run(command, expected):
        code, _, errors = ldb(*shlex.split(command), capsys=capsys, monkeypatch=monkeypatch)
        assert code == 2, errors
        assert errors.startswith("ldb: error: ")
        assert errors.count("\n") == 1, errors
        pattern = ".*".join(map(re.escape, expected.split("...")))
        told = errors.removeprefix("ldb: error: ").strip()
        assert re.fullmatch(pattern, told), told
        assert re.search(r"\. (Cause: .+\. )?Cure: .+", told), "it names no cure"
        before, now = dict(there), snapshot(place)
        there.clear()
        there.update(now)
        assert now == before, "it has left something"
        assert not any(name.endswith("pwned") for name in now), "a file was executed"

    return run
