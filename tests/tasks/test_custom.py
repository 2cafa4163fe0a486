"""``ldb compare --task``: sentences, a task of one's own, and what is wrong with either."""

import json
import sys

import pytest

from layerdropback.lab.record import Record
from tiny_language import make_folder, make_sentences

pytestmark = pytest.mark.usefixtures("known_times", "no_drawings")


def test_a_task_of_ones_own_from_the_command_line(run, tmp_path):
    flags = ["--task", "made_up_task:study", "--task-arg", "share=0.3", "--seeds", "1"]
    code, output, errors = run("compare", *flags, "--seed", "4", "--out", "lab")
    assert (code, errors) == (0, "")
    record = Record.read(tmp_path / "lab")
    assert record.seeds == [4]
    assert record.arms[1]["says"] == "truncate, unit layer, share 0.3 (fixed)"
    assert output.rstrip().endswith("the report is lab/report.html")
    code, output, _ = run("compare", *flags[:-1], "2", "--seed", "4", "--out", "lab", "--resume")
    assert code == 0
    assert Record.read(tmp_path / "lab").finished_seeds() == [4, 5]


def test_a_module_in_the_working_folder_is_found(run, tmp_path):
    (tmp_path / "mine_beside.py").write_text("from made_up_task import study\n")
    late = "def study():\n    from mine_beside import study\n    return study()\n"
    (tmp_path / "mine_alone.py").write_text(late)
    assert run("compare", "--task", "mine_alone:study", "--seeds", "1", "--out", "lab")[0] == 0
    assert str(tmp_path) not in sys.path


def test_sentences_from_the_command_line(run, tmp_path):
    model, data = make_folder(tmp_path / "model"), make_sentences(tmp_path / "data")
    arguments = [f"model={model}", f"data={data}", "epochs=1", "batch_size=8"]
    flags = [part for text in arguments for part in ("--task-arg", text)]
    arms = ["half: strategy=truncate, drop-rate=0.5, every=1, start=0", "lora=2, lr=0.01"]
    flags += [part for text in arms for part in ("--arm", text)]
    code, _, errors = run("compare", "--task", "sentences", *flags, "--seeds", "1", "--out", "lab")
    assert (code, errors) == (0, "")
    found = json.loads((tmp_path / "lab" / "comparison.json").read_text())
    assert [arm["name"] for arm in found["arms"]][:3] == ["plain", "half", "lora=2, lr=0.01"]
    assert found["arms"][2]["settings"]["lr"] == 0.01
    assert found["data"]["unit"] == "sentences"


def test_a_sweep_of_a_task_looks_at_held_out_data_alone(run, tmp_path):
    flags = ["--task", "made_up_task:study", "--seeds", "2", "--lr-grid", "0.005,0.01,0.02"]
    code, output, errors = run("sweep", *flags, "--out", "lab")
    assert (code, errors) == (0, "")
    record = Record.read(tmp_path / "lab")
    lengths = [(arm["name"], arm["settings"]["epochs"]) for arm in record.arms]
    assert lengths == [("plain", 3), ("plain 0.75", 2.25), ("plain 0.5", 1.5), ("half", 3)]
    assert (record.kind, record.data["test"], record.held_out) == ("sweep", 10, 10)
    assert set(record.tuned) == {name for name, _ in lengths}
    assert "| half " in output
    assert "Accuracies are on 10 training lines held out" in output
    code, _, errors = run("compare", *flags, "--out", "lab", "--resume")
    assert code == 2
    assert "is of another run" in errors


def test_a_sweeps_own_flags_are_of_images(run):
    for flag, value in (("--rates", "0.5"), ("--strategies", "uniform"), ("--every", "2")):
        code, _, errors = run("sweep", *OWN, flag, value)
        assert code == 2
        assert f"{flag} is not usable with --task" in errors
    code, _, errors = run("sweep", "--task-arg", "x=1")
    assert code == 2
    assert "no --task is given" in errors


WORDS = ["--task", "sentences", "--task-arg", "model=m", "--task-arg", "data=d"]
OWN = ["--task", "made_up_task:study"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--task", "words"],
            "--task words is unknown. Cause: it is sentences, or MODULE:FUNCTION",
        ),
        (["--task", "no_such:f"], "--task no_such:f cannot be used. Cause: No module named"),
        (["--task", "made_up_task:f"], "Cause: made_up_task has no function 'f'."),
        (["--task", "made_up_task:nothing"], "cannot be used. Cause: it returns Lines."),
        ([*OWN, "--task-arg", "x=1"], "cannot be made. Cause: got an unexpected keyword"),
        ([*OWN, "--task-arg", "x"], "--task-arg 'x' is not usable. Cause: it is KEY=VALUE"),
        ([*OWN, "--arm", "half: lr=0.1"], "two arms are called 'half'."),
        (
            [*OWN, "--arm", "a: share=1"],
            "--arm is not usable with the task lines. Cause: it has no",
        ),
        ([*OWN, "--arm", "a: lr=high"], "--arm 'a' sets lr to 'high'. Cause: a number above 0"),
        (
            [*OWN, "--model", "resnet18"],
            "--model is not usable with --task. Cause: it is a setting",
        ),
        (
            [*WORDS, "--task-arg", "epochs=high"],
            "epochs='high' is not usable. Cause: it is a number",
        ),
        ([*WORDS, "--task-arg", "lr=-1e-4"], "lr=-0.0001 is not usable. Cause: it is a number"),
        ([*WORDS, "--task-arg", "limit_train=0"], "limit_train=0 is not usable."),
        ([*WORDS, "--task-arg", "model=7"], "is not usable. Cause: model is given twice. Cure: "),
        ([*OWN, "--margin", "0"], "--margin 0 is not usable."),
        (["--task-arg", "x=1"], "--task-arg x=1 is not usable. Cause: no --task is given."),
        (["--task", "sentences"], "--task sentences cannot be made. Cause: missing a required"),
    ],
)
def test_bad_input_is_one_line(run, flags, words):
    code, _, errors = run("compare", *flags)
    assert code == 2
    assert words in errors
    assert errors.count("\n") == 1
