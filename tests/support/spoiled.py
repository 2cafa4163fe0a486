"""A folder with everything that a user can get wrong in files, and what must not change in it."""

import gzip
import json
import os
import pickle
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from folders import make_folder
from layerdropback.runs.checkpoint import FORMAT

SMALL = {"model": "test_resnet", "limit_train": 32, "limit_test": 20, "batch_size": 8}


def snapshot(folder):
    """What is there, to be compared: names, sizes and times of change."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        if "__pycache__" not in path.parts:
            facts = path.lstat()
            # A lock is taken anew, and has nothing in it.
            still = path.is_dir() or path.name == ".lock"
            size = None if still else (facts.st_size, facts.st_mtime_ns)
            found[str(path.relative_to(folder))] = size
    return found


class Evil:
    """Unpickling it writes a file: loading has executed code."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return Path.touch, (Path(self.mark),)


# ---- settings ------------------------------------------------------------------------------------

SETTINGS = {
    "typo.yaml": "epoch: 3\n",
    "typo.toml": "epochz = 3\n",
    "typo.json": '{"drop_rat": 0.3}',
    "far.yaml": "zzz: 3\n",
    "twice.yaml": "lr: 0.1\nlr: 0.2\n",
    "twice-dashed.yaml": "drop-rate: 0.1\ndrop_rate: 0.2\n",
    "twice.toml": "lr = 0.1\nlr = 0.2\n",
    "list.yaml": "- epochs\n- 3\n",
    "word.yaml": "epochs 3\n",
    "number.yaml": "3\n",
    "tab.yaml": "model:\n\tresnet18\n",
    "open.yaml": "keep: [a, b\n",
    "quote.yaml": "model: 'resnet18\n",
    "anchor.yaml": "lr: *nowhere\n",
    "colon.yaml": "model: a: b\n",
    "object.yaml": "model: !!python/object/apply:os.system ['touch pwned']\n",
    "bool.yaml": "augment: !!bool maybe\n",
    "int.yaml": "epochs: !!int ''\n",
    "float.yaml": "lr: !!float ''\n",
    "date.yaml": "lr: !!timestamp soon\n",
    "date2.yaml": "lr: 2001-13-45\n",
    "map.yaml": "lr: !!map 3\n",
    "deep.yaml": "keep: " + "[" * 3000 + "\n",
    "deep.toml": "keep = " + "[" * 3000 + "\n",
    "digits.yaml": "epochs: " + "9" * 5000 + "\n",
    "digits.toml": "epochs = " + "9" * 5000 + "\n",
    "nan.yaml": "epochs: .nan\n",
    "inf.yaml": "epochs: .inf\n",
    "inf.toml": "lr = inf\n",
    "half.yaml": "batch_size: 1.5\n",
    "words.yaml": "batch_size: many\n",
    "none.yaml": "epochs: null\n",
    "true.yaml": "epochs: true\n",
    "maps.yaml": "lr: {a: 1}\n",
    "lists.yaml": "lr: [0.1, 0.2]\n",
    "list-model.yaml": "model: [resnet18]\n",
    "bool-model.yaml": "model: yes\n",
    "number-model.yaml": "model: 18\n",
    "word-bool.yaml": "pretrained: maybe\n",
    "number-bool.yaml": "pretrained: 1\n",
    "keep-number.yaml": "keep: 5\n",
    "keep-null.yaml": "keep: [null]\n",
    "milestones.yaml": "milestones: [a]\n",
    "binary.yaml": "model: !!binary aGVsbG8=\n",
    "date-lr.yaml": "lr: 2001-01-01\n",
    "out.yaml": "out: somewhere\n",
    "resume.yaml": "resume: true\n",
    "recipe.yaml": "recipe: nothing\n",
    "recipe-list.yaml": "recipe: [modern]\n",
    "recipe-number.yaml": "recipe: 3\n",
    "table.toml": "[train]\nepochs = 3\n",
    "value.toml": "epochs = \n",
    "none.toml": "epochs = none\n",
    "comma.json": '{"epochs": 3,}',
    "open.json": '{"epochs": 3',
    "string.json": '"epochs"',
    "null-key.yaml": "null: 3\n",
    "list-key.yaml": "? [a]\n: 3\n",
    "merge.yaml": "<<: 3\n",
    "control.yaml": "model: a\x07b\n",
    "nul-init.yaml": 'init: "a\\0b"\n',
    "nul-data.yaml": 'data: "folder:a\\0b"\n',
    "nul-dir.yaml": 'data_dir: "a\\0b"\ndata: cifar10\n',
    "surrogate.yaml": 'model: "\\ud800"\n',
    "strategy.yaml": "strategy: truncated\n",
    "conflict.yaml": "strategy: control\ndrop_rate: 0.5\n",
    "depth.yaml": "depth: fixed\n",
    "rate.yaml": "drop_rate: 1\n",
    "precision.yaml": "precision: fp8\n",
    "negative.yaml": "seed: -3\n",
    "two.yaml": "epochs: 3\n---\nepochs: 4\n",
}


def make_settings(folder):
    folder.mkdir()
    for name, text in SETTINGS.items():
        (folder / name).write_text(text)
    (folder / "latin.yaml").write_bytes("model: caf\u00e9\n".encode("latin-1"))
    (folder / "wide.yaml").write_bytes("epochs: 3\n".encode("utf-16"))
    (folder / "zeros.yaml").write_bytes(bytes(100))
    (folder / "packed.yaml").write_bytes(gzip.compress(b"epochs: 3\n"))
    (folder / "a-folder.yaml").mkdir()


# ---- images --------------------------------------------------------------------------------------


def png(width, height, bits=8):
    """The head of a PNG of such a size, and nothing else."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 16)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def picture(place, name, content):
    """Images of two classes, the last of which is this."""
    root = make_folder(place / name)
    (root / "train" / "dog" / "9.png").write_bytes(content)


def make_images(folder):
    folder.mkdir()
    make_folder(folder / "good")
    (folder / "empty").mkdir()
    (folder / "flat").mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8)).save(folder / "flat" / f"{number}.png")
    shutil.copytree(folder / "good" / "train", folder / "no-test" / "train")
    shutil.copytree(folder / "good" / "test", folder / "no-train" / "test")
    make_folder(folder / "one-class", classes=("cat",))
    shutil.rmtree(make_folder(folder / "lost-class") / "test" / "dog")
    shutil.rmtree(make_folder(folder / "new-class") / "train" / "dog")
    (folder / "new-class" / "train" / "bird").mkdir()
    shutil.copy(folder / "good/train/cat/0.png", folder / "new-class" / "train" / "bird" / "0.png")
    (make_folder(folder / "empty-class") / "train" / "bird").mkdir()
    (make_folder(folder / "renamed") / "test" / "dog").rename(folder / "renamed/test/Dog")
    (folder / "files").mkdir()
    (folder / "files" / "train").write_text("no folder\n")
    (folder / "no-folders" / "train").mkdir(parents=True)
    (folder / "no-folders" / "test").mkdir()
    notes = make_folder(folder / "notes", train=0)
    for name in ("cat", "dog"):
        (notes / "train" / name / "notes.txt").write_text("no image\n")
    picture(folder, "zero-bytes", b"")
    whole = (folder / "good/train/dog/0.png").read_bytes()
    picture(folder, "truncated", whole[: len(whole) // 2])
    picture(folder, "text", b"no image at all\n")
    picture(folder, "html", b"<!doctype html><title>404</title>\n")
    picture(folder, "bomb", png(60_000, 60_000))
    picture(folder, "svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>')
    make_folder(folder / "wide", size=(8, 6))
    make_folder(folder / "large", size=(80, 80))
    Image.new("RGB", (9, 9)).save(make_folder(folder / "mixed") / "train" / "dog" / "9.png")
    deep = np.zeros((8, 8), dtype=np.uint16)
    Image.fromarray(deep).save(make_folder(folder / "deep") / "train" / "dog" / "9.png")
    root = make_folder(folder / "link")
    (root / "train" / "dog" / "9.png").symlink_to("nowhere.png")
    apart = make_folder(folder / "unicode", classes=("caf\u00e9", "tea"))
    shutil.copytree(apart / "train" / "tea", apart / "train" / "cafe\u0301")
    make_folder(folder / "line\nbreak", classes=("only",))
    make_folder(folder / "no images", classes=("cat", "dog"), test=0)


# ---- weights -------------------------------------------------------------------------------------


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def make_weights(folder, run):
    """Files of weights, made from a finished run's."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    folder.mkdir()
    good = run / "weights.safetensors"
    shutil.copy(good, folder / "good.safetensors")
    weights = load_file(good)
    with safe_open(good, framework="pt") as file:
        notes = json.loads(file.metadata()["layerdropback"])

    def put(name, changed=None, **changes):
        told = notes | changes
        told = {name: value for name, value in told.items() if value is not ...}
        metadata = {"format": "pt", "layerdropback": json.dumps(told)}
        save_file(weights if changed is None else changed, folder / name, metadata)

    raw = good.read_bytes()
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "text.safetensors").write_text("these are no weights, are they?\n")
    (folder / "cut.safetensors").write_bytes(raw[: len(raw) // 2])
    (folder / "short.safetensors").write_bytes(raw[:6])
    (folder / "long.safetensors").write_bytes(raw + b"\0" * 8)
    (folder / "huge.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    (folder / "list.safetensors").write_bytes(safetensors(b"[1, 2, 3]"))
    (folder / "deep.safetensors").write_bytes(safetensors(b"[" * 5000))
    (folder / "type.safetensors").write_bytes(
        safetensors({"a": {"dtype": "F3", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4)
    )
    (folder / "offsets.safetensors").write_bytes(
        safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]}}, b"\0" * 4)
    )
    (folder / "float4.safetensors").write_bytes(
        safetensors({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}, b"\0")
    )
    (folder / "float8.safetensors").write_bytes(
        safetensors({"a": {"dtype": "F8_E8M0", "shape": [2], "data_offsets": [0, 2]}}, b"\0\0")
    )
    save_file(weights, folder / "foreign.safetensors")
    save_file(weights, folder / "note.safetensors", {"layerdropback": "no JSON"})
    save_file(weights, folder / "note-list.safetensors", {"layerdropback": "[1]"})
    save_file(weights, folder / "note-deep.safetensors", {"layerdropback": "[" * 100_000})
    torch.save(weights, folder / "weights.pt")
    (folder / "evil.pt").write_bytes(pickle.dumps(Evil(folder / "pwned")))
    torch.save({"a": Evil(folder / "pwned")}, folder / "evil.safetensors")
    head = next(reversed(weights))
    put("nan.safetensors", weights | {head: torch.full_like(weights[head], torch.nan)})
    put("few.safetensors", dict(list(weights.items())[4:]))
    put("more.safetensors", weights | {"extra.weight": torch.ones(2)})
    put("shape.safetensors", weights | {"conv1.weight": torch.ones(3, 3)})
    put("whole-numbers.safetensors", {name: value.long() for name, value in weights.items()})
    put("no-spec.safetensors", spec=...)
    put("spec-word.safetensors", spec="test_resnet")
    put("spec-less.safetensors", spec={"name": "test_resnet"})
    for name, value in {
        "name": 5, "classes": "ten", "channels": -1, "image_size": 0, "args": [1], "small_stem": 3
    }.items():  # fmt: skip
        put(f"spec-{name}.safetensors", spec=notes["spec"] | {name: value})
    put("spec-model.safetensors", spec=notes["spec"] | {"name": "zzzz"})
    put("spec-other.safetensors", spec=notes["spec"] | {"name": "test_vit"})
    put("spec-args.safetensors", spec=notes["spec"] | {"args": {"no_such_argument": 1}})
    put("no-classes.safetensors", classes=...)
    put("classes-number.safetensors", classes=10)
    put("classes-other.safetensors", classes=["a", "b"])
    put("no-mean.safetensors", mean=...)
    put("mean-word.safetensors", mean="grey")
    put("mean-empty.safetensors", mean=[])
    put("std-zero.safetensors", std=[0.0])
    put("crop.safetensors", crop_pct=7)
    put("data-number.safetensors", data=3)
    put("data-lost.safetensors", data={"data": "folder:/no/such/folder"})
    put("data-kind.safetensors", data={"data": 3})
    put("no-data.safetensors", data=...)
    put("version.safetensors", version=...)


# ---- runs ----------------------------------------------------------------------------------------


def make_run(folder):
    """A finished run of one epoch with a checkpoint."""
    from rich.console import Console

    from layerdropback.training.config import TrainConfig
    from layerdropback.training.run import train

    train(TrainConfig(epochs=2, threads=1, out=folder, **SMALL), Console(quiet=True))


def copied(folder, place):
    """A copy that takes no room: its files are links, which nobody writes to in place."""
    shutil.copytree(folder, place, copy_function=os.link)
    return place


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
    own = {"format": FORMAT, "step": 9, "kind": "training", "version": "0.1.0"}
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


# ---- records -------------------------------------------------------------------------------------


def make_records(folder, whole):
    """Records of comparisons, made from the text of a good one."""
    folder.mkdir()
    values = json.loads(whole)

    def each(**changes):
        return [row | changes for row in values["epochs"]]

    put = {
        "empty": "",
        "words": "no record",
        "list": "[]",
        "null": "null",
        "number": "3",
        "deep": "[" * 100_000,
        "format": json.dumps(values | {"format": 99}),
        "no-format": json.dumps({k: v for k, v in values.items() if k != "format"}),
        "unknown": json.dumps(values | {"colour": "red"}),
        "less": json.dumps({k: v for k, v in values.items() if k != "arms"}),
        "arms-number": json.dumps(values | {"arms": 3}),
        "arms-empty": json.dumps(values | {"arms": []}),
        "arms-less": json.dumps(values | {"arms": [{"name": "plain"}]}),
        "arms-words": json.dumps(values | {"arms": ["plain"]}),
        "epochs-number": json.dumps(values | {"epochs": 3}),
        "epochs-less": json.dumps(values | {"epochs": [{"arm": "plain"}]}),
        "epochs-empty": json.dumps(values | {"epochs": []}),
        "epochs-kinds": json.dumps(values | {"epochs": each(seconds="x")}),
        "epochs-nan": json.dumps(values | {"epochs": each(test_accuracy=float("nan"))}),
        "seeds-number": json.dumps(values | {"seeds": 3}),
        "seeds-words": json.dumps(values | {"seeds": ["a"]}),
        "data-list": json.dumps(values | {"data": []}),
        "data-zero": json.dumps(values | {"data": values["data"] | {"test": 0}}),
        "facts-list": json.dumps(values | {"facts": []}),
        "facts-parts": json.dumps(values | {"facts": {"hardware": 3}}),
        "margin-word": json.dumps(values | {"margin": "much"}),
        "pilot-list": json.dumps(values | {"pilot": []}),
        "pilot-parts": json.dumps(values | {"pilot": {"plain": 3}}),
        "settings-list": json.dumps(values | {"settings": []}),
        "dropped-list": json.dumps(values | {"dropped": []}),
        "dropped-kinds": json.dumps(values | {"dropped": {"half 0": {"a": "x"}}}),
        "trials": json.dumps(values | {"trials": [3]}),
        "kind": json.dumps(values | {"kind": "duel"}),
        "command": json.dumps(values | {"command": 3}),
        "identity": json.dumps(values | {"identity": 3}),
        "tuned": json.dumps(values | {"tuned": 3}),
        "left-out": json.dumps(values | {"left_out": 3}),
        "target": json.dumps(values | {"target": "high"}),
        "held-out": json.dumps(values | {"held_out": "few"}),
    }  # fmt: skip
    for name, text in put.items():
        (folder / name).mkdir()
        (folder / name / "comparison.json").write_text(text)
    (folder / "not-packed.json.gz").write_text(whole)
    (folder / "cut.json.gz").write_bytes(gzip.compress(whole.encode())[:40])
    (folder / "latin.json").write_bytes(b'{"a": "\xe9"}')
    (folder / "a-folder.json").mkdir()
    (folder / "good").mkdir()
    (folder / "good" / "comparison.json").write_text(whole)


# ---- sentences and tasks -------------------------------------------------------------------------

SENTENCES = {
    "empty": (b"", b"pos a film\n"),
    "blank": (b"\n\n \n", b"pos a film\n"),
    "no-labels": (b"good\nbad\n", b"pos a film\n"),
    "some": (b"pos a film\nneg\n", b"pos a film\n"),
    "new-label": (b"pos a film\nneg a play\n", b"neutral a film\n"),
    "one-label": (b"pos a film\npos a play\n", b"pos a film\n"),
    "latin": ("pos caf\u00e9\nneg a film\n".encode("latin-1"), b"pos a film\n"),
    "wide": ("pos a film\nneg a play\n".encode("utf-16"), b"pos a film\n"),
    "csv": (b"label,text\n1,good film\n0,bad play\n1,new film\n0,old play\n", b"1,good film\n"),
    "zeros": (bytes(50), b"pos a film\n"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(20), b"pos a film\n"),
}

STUDIES = """
import sys
from made_up_task import Lines, study as good, nothing

def fails():
    raise ValueError("the data\\nis not there")

def exits():
    sys.exit(3)

def none():
    return None

def no_ways():
    return Lines(), None

def list_of_ways():
    return Lines(), ["plain", "half"]

def one_way():
    return Lines(), {"plain": None}

def no_task():
    return 3, {"plain": None, "half": 0.5}

def the_class():
    return Lines, {"plain": None, "half": 0.5}

def with_argument(share):
    return Lines(), {"plain": None, "half": share}

def unnamed():
    return Lines(), {1: None, 2: 0.5}

def drops_first():
    from layerdropback import Truncate
    return Lines(), {"half": Truncate(0.5), "plain": None}

class NoName(Lines):
    name = None

def no_name():
    return NoName(), {"plain": None, "half": None}

class NoEpochs(Lines):
    epochs = 0

def no_epochs():
    return NoEpochs(), good()[1]

class NanEpochs(Lines):
    epochs = float("nan")

def nan_epochs():
    return NanEpochs(), good()[1]

class NoTest(Lines):
    test = 0

def no_test():
    return NoTest(), good()[1]

class Fails(Lines):
    def start(self, way, seed, epochs, lr):
        raise RuntimeError("cannot start")

def start_fails():
    return Fails(), good()[1]

class Nothing(Lines):
    def start(self, way, seed, epochs, lr):
        return None

def starts_nothing():
    return Nothing(), good()[1]

value = 3
"""


def make_sentence_files(folder):
    folder.mkdir()
    for name, (train, test) in SENTENCES.items():
        (folder / name).mkdir()
        (folder / name / "train.txt").write_bytes(train)
        (folder / name / "test.txt").write_bytes(test)
    (folder / "no-test").mkdir()
    (folder / "no-test" / "train.txt").write_text("pos a film\nneg a play\n")
    (folder / "good").mkdir()
    lines = "pos a good film\nneg a bad play\n" * 6
    (folder / "good" / "train.txt").write_text(lines)
    (folder / "good" / "test.txt").write_text(lines)


def make_studies(folder):
    (folder / "wrong_studies.py").write_text(STUDIES)
    (folder / "wrong_syntax.py").write_text("def study(:\n")
    (folder / "wrong_import.py").write_text("import no_such_package\n")
    (folder / "wrong_value.py").write_text("raise ValueError('at import')\n")
    (folder / "wrong_exit.py").write_text("import sys\nsys.exit(0)\n")


def make_models(folder, good):
    """Folders of transformers that are no models, made from a good one."""
    folder.mkdir()
    shutil.copytree(good, folder / "good")

    def copy(name):
        shutil.copytree(good, folder / name)
        return folder / name

    (folder / "empty").mkdir()
    (copy("no-config") / "config.json").unlink()
    (copy("config-words") / "config.json").write_text("no JSON")
    (copy("config-list") / "config.json").write_text("[]")
    (copy("config-kind") / "config.json").write_text('{"model_type": "no_such_kind"}')
    (copy("config-deep") / "config.json").write_text("[" * 99_999)
    (copy("config-size") / "config.json").write_text('{"model_type": "bert", "hidden_size": -3}')
    (copy("config-heads") / "config.json").write_text(
        '{"model_type": "bert", "hidden_size": 16, "num_attention_heads": 5}'
    )
    (copy("no-weights") / "model.safetensors").unlink()
    (copy("weights-words") / "model.safetensors").write_text("no weights at all\n")
    raw = (good / "model.safetensors").read_bytes()
    (copy("weights-cut") / "model.safetensors").write_bytes(raw[: len(raw) // 2])
    evil = copy("evil")
    (evil / "model.safetensors").unlink()
    torch.save({"a": Evil(folder / "pwned")}, evil / "pytorch_model.bin")
    no_words = copy("no-tokenizer")
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        (no_words / name).unlink(missing_ok=True)
    (copy("tokenizer-words") / "tokenizer.json").write_text("no JSON")
