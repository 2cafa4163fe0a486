"""Folders of runs, whole and spoiled."""

import pickle

import torch

from layerdropback import __version__
from layerdropback.runs.checkpoint import FORMAT
from spoiled.folder import Evil, copied

SMALL = {"model": "test_resnet", "limit_train": 32, "limit_test": 20, "batch_size": 8}


def make_run(folder):
    """A finished run of one epoch with a checkpoint."""
    from rich.console import Console

    from layerdropback.training.config import TrainConfig
    from layerdropback.training.run import train

    train(TrainConfig(epochs=2, threads=1, out=folder, **SMALL), Console(quiet=True))


def replaced(path, text):
    path.unlink(missing_ok=True)
    path.write_text(text)


def named(path, content=None):
    """A file with a checkpoint's name, its checksum included."""
    from layerdropback.runs.checkpoint import _checksum

    if content is not None:
        torch.save(content, path)
    path.rename(path.with_name(f"step-000000009-{_checksum(path)}.pt"))


STATES = {
    "no-kind": lambda state: {k: v for k, v in state.items() if k != "kind"},
    "no-version": lambda state: {k: v for k, v in state.items() if k != "version"},
    "no-run": lambda state: {k: v for k, v in state.items() if k != "run"},
    "run-number": lambda state: state | {"run": 3},
    "no-trainer": lambda state: {k: v for k, v in state.items() if k != "trainer"},
    "trainer-number": lambda state: state | {"trainer": 3},
    "no-model": lambda state: state | {"trainer": {**state["trainer"], "model": {}}},
    "model-number": lambda state: state | {"trainer": {**state["trainer"], "model": 3}},
    "history-number": lambda state: state | {"history": 3},
    "history-row": lambda state: state | {"history": [{"epoch": 1}]},
    "no-export": lambda state: {k: v for k, v in state.items() if k != "export"},
    "export-number": lambda state: state | {"export": 3},
    "export-spec": lambda state: state | {"export": {"spec": {"name": 3}, "notes": {}}},
    "format-tensor": lambda state: state | {"format": torch.ones(2)},
    "of-comparison": lambda state: state | {"kind": "comparison"},
    "generators": lambda state: state | {"trainer": {**state["trainer"], "generators": {}}},
    "ldb": lambda state: state | {"trainer": {**state["trainer"], "ldb": {"version": 4}}},
    "optimizer": lambda state: state | {"trainer": {**state["trainer"], "optimizer": {}}},
    "so-far": lambda state: state | {"trainer": {**state["trainer"], "so_far": {"epoch": 1}}},
    "steps": lambda state: state | {"trainer": {**state["trainer"], "steps": "many"}},
}


MACHINES = {
    "list": "[]",
    "words": "no",
    "deep": "[" * 99_999,
    "parts": '{"versions": 3, "hardware": []}',
}
LINES = {
    "words": "no\n",
    "list": "[]\n",
    "number": "3\n",
    "less": '{"epoch": 1}\n',
    "empty": "",
    "deep": "[" * 99_999,
    "kinds": '{"epoch": "a", "mode": "full", "steps": "b", "seconds": "c"}\n',
    "nan": '{"epoch": 1, "mode": "full", "steps": 4, "seconds": NaN}\n',
}
RUN_SETTINGS = {
    "empty": "",
    "typo": "epoks: 3\n",
    "list": "- 3\n",
    "other": "model: test_vit\nlimit_train: 32\nlimit_test: 20\nbatch_size: 8\n",
}


def make_runs(folder):
    """Runs, whole and spoiled; ``done`` is a good one."""
    folder.mkdir()
    make_run(folder / "done")
    copied(folder / "done", folder / "stopped")
    (folder / "stopped" / "weights.safetensors").unlink()
    files = sorted((folder / "stopped" / "checkpoints").iterdir())
    files[0].unlink()
    state = torch.load(files[-1], weights_only=True)

    def spoiled(name):
        copied(folder / "stopped", folder / name)
        for file in (folder / name / "checkpoints").iterdir():
            file.unlink()
        return folder / name / "checkpoints" / "new"

    for name, change in STATES.items():
        named(spoiled(name), change(state))
    named(spoiled("tensor"), torch.ones(2))
    own = {"format": FORMAT, "step": 9, "kind": "training", "version": __version__}
    named(spoiled("evil"), own | {"evil": Evil(folder / "pwned")})
    for name, content in {
        "evil-bare": pickle.dumps(Evil(folder / "pwned")),
        "text": b"no checkpoint\n",
    }.items():
        path = spoiled(name)
        path.write_bytes(content)
        named(path)
    spoiled("lost")
    torch.save(state, spoiled("other-name").with_name("last.pt"))
    spoiled("cut").with_name(files[-1].name).write_bytes(files[-1].read_bytes()[:1000])
    spoiled("zero").with_name(files[-1].name).write_bytes(b"")
    for kind, file, base, texts in (
        ("settings", "settings.yaml", "stopped", RUN_SETTINGS),
        ("machine", "machine.json", "stopped", MACHINES),
        ("lines", "metrics.jsonl", "done", LINES),
    ):
        for name, text in texts.items():
            replaced(copied(folder / base, folder / f"{kind}-{name}") / file, text)
    (folder / "empty").mkdir()
    (folder / "a-file").write_text("no run\n")
    (folder / "others").mkdir()
    (folder / "others" / "thesis.tex").write_text("mine\n")
