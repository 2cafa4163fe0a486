"""What reads files, each with good files to begin with: for the fuzzing in ``reliability``."""

import gzip
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image
from safetensors.torch import save
from torch import nn

from layerdropback import LayerDropBack, __version__
from layerdropback.errors import LayerDropBackError
from layerdropback.integrations.chosen import from_state
from layerdropback.lab.record import Record
from layerdropback.lab.report.reading import read_source
from layerdropback.runs.checkpoint import FORMAT, Checkpoints, _checksum
from layerdropback.tasks.keys import name_and_values
from layerdropback.tasks.sentence_data import labels_of, read_sentences
from layerdropback.training.config import TrainConfig
from layerdropback.training.export import KEY, read_metadata
from layerdropback.training.images.decoding import decode
from layerdropback.training.initial import _weights, initial_inputs
from layerdropback.training.model_args import parse_model_args
from layerdropback.training.run_folder import PARTS, find_checkpoint
from layerdropback.training.settings_file import PLACES, read_settings

# What parsers stumble over.
WORDS = [b"\0", b"\xff\xfe", b"!!bool x", b"!!int ''", b"!!timestamp x", b"- " * 9, b"[" * 2000]
WORDS += [b"{", b"]", b":", b"\n", b".nan", b"1e999", b"NaN", b"null", b"9" * 5000, b"2001-13-45"]
WORDS += [b"&a *a", b"<<: ", b"? ", b"\xef\xbb\xbf", "\u2028\x85".encode(), b"'", b'"', b"\\u0000"]


@dataclass(frozen=True)
class Target:
    """Something that reads what a user gives.

    Attributes:
        read: given bytes or values, returns or raises the library's own error.
        whole: good files.
        values: good values, in types of JSON; None where it reads bytes alone.
        one_line: whether its errors have one line.
    """

    read: Callable[[Any], object]
    whole: list[bytes]
    values: Any = None
    one_line: bool = True


def _as_bytes(content):
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def _settings(folder):
    known = {n: v for n, v in TrainConfig().as_dict().items() if n not in PLACES}

    def read_one(path, content):
        path.write_bytes(_as_bytes(content))
        values = read_settings(path)
        values.pop("recipe", None)
        TrainConfig.from_dict(values).check()

    def read(content):
        with suppress(LayerDropBackError):
            read_one(folder / "settings.toml", content)
        read_one(folder / "settings.yaml", content)

    whole = [yaml.safe_dump(known).encode(), b"epochs = 3\nkeep = ['a']\nlr = 1e-3\n"]
    return Target(read, [*whole, json.dumps(known).encode()], known)


def _words(folder):
    def read(content):
        text = _as_bytes(content).decode("utf-8", "replace")
        name_and_values(text, "--arm")
        parse_model_args([text])

    whole = [b"drop_path_rate=0.1", b"channels=[32, 64]", b"half: drop_rate=0.3, keep=[a, b]"]
    return Target(read, whole)


def _zipped(state):
    whole = io.BytesIO()
    torch.save(state, whole)
    return whole.getvalue()


def _with_pickle(whole, content):
    """A file of torch's whose pickle is replaced."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name.endswith("data.pkl") else old.read(name))
    return changed.getvalue()


class Touching:
    """Unpickling it writes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def _checkpoint(folder):
    mark = folder / "executed"
    plain = {"format": FORMAT, "step": 3, "kind": "training", "version": __version__}
    plain |= {"run": {"lr": 0.1, "classes": ["a", "b"]}, "history": [{"epoch": 1}]}
    plain |= {"trainer": {"steps": 3}, "export": {"spec": {}, "notes": {}}}
    good = _zipped(plain | {"trainer": {"model": {"weight": torch.ones(2)}}})
    evil = [_zipped({**plain, "x": Touching(mark)}), pickle.dumps(Touching(mark))]
    with zipfile.ZipFile(io.BytesIO(good)) as file:
        inner = next(file.read(name) for name in file.namelist() if name.endswith("data.pkl"))
    place = folder / "run" / "checkpoints"
    place.mkdir(parents=True)

    def read_one(whole):
        (place / "new").write_bytes(whole)
        name = f"step-000000009-{_checksum(place / 'new')}.pt"
        (place / "new").rename(place / name)
        try:
            checkpoints = Checkpoints(place, 2, parts=PARTS)
            find_checkpoint(folder / "run", checkpoints, plain["run"], lambda text: None)
        finally:
            for left in place.iterdir():
                left.unlink()
            assert not mark.exists(), "the file was executed"

    def read(content):
        if not isinstance(content, bytes):
            content = _zipped(content)
        if not content.startswith(b"PK"):
            with suppress(LayerDropBackError):
                read_one(content)
            content = _with_pickle(good, content)
        read_one(content)

    return Target(read, [good, inner, *evil], plain)


def _state(folder):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ldb = LayerDropBack(model, optimizer, "truncate")
    for epoch in range(2):
        for batch in ldb.epoch([torch.ones(3, 4)] * 2, epoch):
            model(batch).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    good = ldb.state_dict()

    def read(content):
        try:
            ldb.load_state_dict(content)
        except Exception:
            assert ldb.state_dict() == good, "a refused state has changed something"
            raise
        ldb.load_state_dict(good)
        from_state(content["settings"])

    return Target(read, [b"no state"], good)


def _record(folder):
    row = {"arm": "plain", "seed": 0, "epoch": 1, "mode": "full", "steps": 4, "seconds": 1.0}
    row |= {"train_loss": 1.0, "test_loss": 1.0, "test_accuracy": 50.0}
    arm = {"name": "plain", "role": "plain", "of": None, "says": "plain training"}
    good = {"format": 1, "command": "ldb compare", "facts": {"versions": {}, "hardware": {}}}
    good |= {"data": {"name": "lines", "train": 48, "test": 64, "unit": "lines"}, "settings": {}}
    good |= {"identity": {}, "arms": [arm | {"settings": {"epochs": 1, "lr": 0.1}}], "seeds": [0]}
    good |= {"margin": 0.5, "epochs": [row], "pilot": {"plain": {"saved": {"full": 3.0}}}}
    good |= {"trials": [{"arm": "plain", "lr": 0.1, "seed": 0, "accuracy": None, "loss": None}]}
    text = json.dumps(good).encode()

    def read(content):
        whole = _as_bytes(content)
        packed = gzip.compress(whole, 1)
        names = {"record.json": whole, "record.json.gz": packed}
        if whole.startswith(b"\x1f\x8b"):
            names = {"record.json.gz": whole}
        for name, each in names.items():
            (folder / name).write_bytes(each)
            Record.read(folder / name).finished_seeds()

    return Target(read, [text, gzip.compress(text)], good)


def _run(folder):
    row = {"epoch": 1, "mode": "full", "steps": 4, "seconds": 1.0, "train_loss": 1.0}
    row |= {"test_loss": 1.0, "test_accuracy": 50.0, "phases": {"forward": 0.5}}
    machine = {"command": "ldb train", "versions": {"torch": "2"}, "hardware": {"threads": 1}}
    good = {"row": row, "machine": machine}
    place = folder / "a-run"
    place.mkdir()
    (place / "settings.yaml").write_text("epochs: 1\n")

    def read(content):
        values = content if isinstance(content, dict) else dict.fromkeys(good, content)
        texts = {"metrics.jsonl": values.get("row"), "machine.json": values.get("machine")}
        for name, text in texts.items():
            for other, usual in (("metrics.jsonl", row), ("machine.json", machine)):
                (place / other).write_bytes(_as_bytes(text if other == name else usual))
            read_source(place)

    return Target(read, [json.dumps(row).encode(), json.dumps(machine).encode()], good)


def _safetensors(folder):
    spec = {"name": "test_resnet", "classes": 10, "channels": 1, "image_size": 8}
    notes = {"version": __version__, "spec": spec | {"small_stem": True, "args": {}}}
    notes |= {"mean": [0.5], "std": [0.2], "classes": ["a", "b"], "data": {"data": "digits"}}
    path = folder / "weights.safetensors"

    def whole(values):
        return save(
            {"a": torch.ones(2)}, {KEY: values if isinstance(values, str) else json.dumps(values)}
        )

    def read(content):
        path.write_bytes(content if isinstance(content, bytes) else whole(content))
        initial_inputs(path)
        read_metadata(path)
        _weights(path)

    deep = save({"a": torch.ones(2)}, {KEY: "[" * 3000})
    header = struct.pack("<Q", 2) + b"{}"
    return Target(read, [whole(notes), deep, header], notes)  # fmt: skip


def _sentences(folder):
    place = folder / "sentences"
    place.mkdir()
    good = b"pos a good film\nneg a bad play\n"

    def read(content):
        for name in ("train", "test"):
            for other in ("train", "test"):
                (place / f"{other}.txt").write_bytes(content if other == name else good)
            labels_of(read_sentences(str(place))[0], "a folder")

    return Target(read, [good, "pos caf\u00e9\u2028 x\nneg a\x85b\n".encode(), b"1\ta\n0\tb\n"])


def _images(folder):
    files = []
    for kind in ("png", "jpeg", "gif", "bmp", "tiff", "ppm", "webp"):
        whole = io.BytesIO()
        Image.new("RGB", (5, 4), (200, 3, 90)).save(whole, kind)
        files.append(whole.getvalue())
    return Target(lambda content: decode(io.BytesIO(content), "the file"), files)


_MAKERS = {
    "settings": _settings,
    "words": _words,
    "checkpoint": _checkpoint,
    "state": _state,
    "record": _record,
    "run": _run,
    "safetensors": _safetensors,
    "sentences": _sentences,
    "images": _images,
}
NAMES = tuple(_MAKERS)


def targets(folder):
    """All of them by name; they write to a folder."""
    found = {}
    for name, make in _MAKERS.items():
        (folder / name).mkdir()
        found[name] = make(folder / name)
    return found
