"""Sentences, tasks of one's own, and models of transformers that cannot be used."""

import shutil

import torch

from spoiled.folder import Evil

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
