"""Trained weights as safetensors, with all that is needed to build their model again."""

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_model
from torch import nn

from .. import __version__
from ..errors import UsageError, explain
from ..runs.atomic import replace_atomically
from ..runs.parsing import of_json
from ..runs.reasons import reason
from ..runs.releases import cannot_use
from .config import TrainConfig
from .inputs import Inputs
from .models import ModelSpec, build_model

# Where in a file's metadata this library keeps its own.
KEY = "layerdropback"


def notes_of(
    config: TrainConfig,
    classes: Sequence[str],
    inputs: Inputs,
    done: tuple[int, int],
    test_accuracy: float | None,
) -> dict[str, Any]:
    """What a reader of a run's weights needs to use them, and to test them as the run did.

    Args:
        config: of the run.
        classes: by their numbers.
        inputs: what the network wants of images.
        done: epochs and steps.
        test_accuracy: None where nobody has tested these weights.
    """
    settings = config.as_dict()
    names = ("data", "data_dir", "in_memory", "image_size", "limit_test", "unreadable")
    return {
        "classes": list(classes),
        **asdict(inputs),
        "data": {name: settings[name] for name in names},
        **dict(zip(("epochs", "steps"), done, strict=True)),
        "test_accuracy": test_accuracy,
    }


def export_weights(model: nn.Module, path: Path, spec: ModelSpec, notes: dict[str, Any]) -> None:
    """Write a model's weights; the file is there whole or not at all.

    Raises:
        UsageError: the file cannot be written.

    Args:
        model: a model that `build_model` made from `spec`.
        path: the file.
        spec: what the model is.
        notes: more to keep with it: classes, mean and std, accuracy.
    """
    metadata = {"version": __version__, "spec": asdict(spec), **notes}
    described = {"format": "pt", KEY: json.dumps(metadata)}

    def write(file: Path) -> None:
        save_model(model, str(file), metadata=described)
        _sort_metadata(file)

    try:
        replace_atomically(path, write)
    except (OSError, SafetensorError) as error:
        cure = "make room, then go on with --resume, or write elsewhere"
        raise UsageError(explain(f"cannot write {path}", reason(error), cure)) from None


def _sort_metadata(path: Path) -> None:
    """Put the metadata in order, for runs that are alike to end with files that are alike.

    safetensors writes them in a random one.
    """
    with path.open("rb+") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= length:  # as it is, unless a string could be written in two ways
            file.seek(8)
            file.write(text.ljust(length))


def file_metadata(path: Path | str) -> dict[str, str]:
    """What stands beside the weights in any safetensors file.

    Raises:
        UsageError: the file is missing, damaged, or of another format.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        cure = "give another file"
        raise UsageError(explain(f"cannot read {path}", reason(error), cure)) from None


def read_metadata(path: Path | str) -> dict[str, Any]:
    """What `export_weights` wrote beside the weights.

    Raises:
        UsageError: the file is missing, damaged, or not of this library.
    """
    metadata = file_metadata(path)
    try:
        found: dict[str, Any] = of_json(metadata[KEY])
        spec, release = found.get("spec"), found["version"]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _foreign(path) from None
    try:
        ModelSpec.read(spec)
    except ValueError as error:
        raise cannot_use(Path(path), str(error), release) from None
    return found


def _foreign(path: Path | str) -> UsageError:
    cause = "its metadata has no usable entry of layerdropback"
    cure = "load it with safetensors and timm"
    return UsageError(explain(f"{path} was not written by ldb", cause, cure))


def load_exported(path: Path | str) -> nn.Module:
    """Build the model that a file of weights belongs to, small stem and all, and load them.

    Args:
        path: a file that ``ldb train`` wrote.

    Returns:
        The plain timm model, in evaluation mode. It takes images on [0, 1], of which the mean is
        subtracted and which are divided by the standard deviation that `read_metadata` tells.

    Raises:
        UsageError: see `read_metadata`.
    """
    from safetensors.torch import load_model

    with torch.random.fork_rng(devices=[]):  # the fresh weights are thrown away
        model, _ = build_model(ModelSpec(**read_metadata(path)["spec"]))
    try:
        load_model(model, str(path))
    except RuntimeError as error:
        fact = f"the weights in {path} are not those of the model it names"
        raise UsageError(explain(fact, reason(error), "give another file")) from None
    return model.eval()
