"""After training: weights out of a run's folder, and their test."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from ..errors import UsageError, explain
from ..runs.checkpoint import Checkpoints
from ..runs.folder import CHECKPOINTS, SETTINGS, WEIGHTS
from ..runs.machine import find_device
from ..runs.naming import nfc, spelt
from ..runs.paths import home
from ..runs.reasons import reason
from ..runs.releases import cannot_use
from .config import TrainConfig
from .evaluate import Score, score
from .export import export_weights, load_exported, read_metadata
from .images.augment import Augments
from .images.data import ImageData, load_data
from .images.pipeline import Pipeline
from .inputs import Inputs
from .models import ModelSpec, build_model
from .run_folder import PARTS


def export_run(
    run: Path, to: Path, overwrite: bool = False, console: Console | None = None
) -> None:
    """Write a run's weights: those of its end, or of its last good checkpoint.

    Args:
        run: its folder.
        to: the file, safetensors.
        overwrite: replace the file.
        console: where to say what was written.

    Raises:
        UsageError: there is no such run, nothing was saved yet, or the file cannot be written.
    """
    console = console or Console()

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    run, to = home(run, ""), home(to, "--to ")
    _require_places(run, to, overwrite)
    if (run / WEIGHTS).exists():
        metadata = read_metadata(run / WEIGHTS)
        model = load_exported(run / WEIGHTS)
        source = "the finished run"
    else:
        model, metadata, source = _from_checkpoint(run, say)
    notes = {key: value for key, value in metadata.items() if key not in ("spec", "version")}
    export_weights(model, to, ModelSpec(**metadata["spec"]), notes)
    say(f"wrote {to}: {source}")


def _require_places(run: Path, to: Path, overwrite: bool) -> None:
    if not (run / SETTINGS).exists() and not (run / WEIGHTS).exists():
        cause = f"it has neither {SETTINGS} nor {WEIGHTS}"
        raise UsageError(explain(f"no run in {run}", cause, "name the folder of ldb train"))
    if to.is_dir():
        raise UsageError(explain(f"--to {to} is a folder", "a file is written", "name one in it"))
    if to.exists() and not overwrite:
        cure = "give another name, or --overwrite"
        raise UsageError(explain(f"--to {to} is there already", "it would be lost", cure))
    if not to.parent.is_dir():
        fact = f"--to {to} cannot be written"
        raise UsageError(explain(fact, f"there is no folder {to.parent}", "make it"))


def _from_checkpoint(
    run: Path, say: Callable[[str], None]
) -> tuple[nn.Module, dict[str, Any], str]:
    """The model of a run's last good checkpoint, what is kept with it, and what to call it."""
    checkpoints = Checkpoints(run / CHECKPOINTS, keep=1, parts=PARTS)
    found = checkpoints.load()
    if found is None:
        cause = f"there is no checkpoint in {run / CHECKPOINTS}"
        raise UsageError(explain(f"{run} has no weights", cause, "train on with --resume"))
    state, path, problems = found
    for problem in problems:
        say(f"checkpoint {problem}: set aside, taking {path.name}")
    try:
        metadata = {"spec": state["export"]["spec"], **state["export"]["notes"]}
        spec = ModelSpec.read(metadata["spec"])
        weights = state["trainer"].get("ema") or state["trainer"]["model"]
        done = f"{metadata['epochs']} whole epochs, {metadata['steps']} steps in all"
    except KeyError as error:
        raise cannot_use(path, f"it has no part {error}", state["version"]) from None
    except (RuntimeError, TypeError, ValueError) as error:
        raise cannot_use(path, reason(error), state["version"]) from None
    with torch.random.fork_rng(devices=[]):  # the fresh weights are thrown away
        model, _ = build_model(spec)
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:  # timm, or we, name its parts in another way
        raise cannot_use(path, reason(error), state["version"]) from None
    return model, metadata, f"{path.name}, after {done}"


def evaluate_weights(
    weights: Path, given: Mapping[str, Any], console: Console | None = None
) -> Score:
    """Test weights on a data set's test images.

    Args:
        weights: a run's folder or an exported file.
        given: ``data``, ``data_dir``, ``limit_test``, ``device``, ``threads`` and ``workers``,
            where they are not the run's.
        console: where to print the result.

    Raises:
        UsageError: the weights or the data cannot be had, or do not belong together.
    """
    console = console or Console()
    TrainConfig.from_dict(given).check()
    device = find_device(given.get("device", "auto"))
    if given.get("threads") is not None:
        torch.set_num_threads(given["threads"])
    model, metadata = load_for_evaluation(home(weights, ""))
    data = _test_data(weights, given, metadata)
    spec = ModelSpec(**metadata["spec"])
    pipeline = Pipeline(
        data,
        Augments.none(),
        batch_size=1,
        seed=0,
        device=device,
        **asdict(_inputs(weights, metadata)),
        workers=given.get("workers", 0),
    )
    result = score(model.to(device), pipeline.test_batches(), device)
    pipeline.tell_unread()
    if not math.isfinite(result.loss):
        fact = f"{weights} gives a loss of {result.loss} on {data.name}"
        cause = "its weights are not finite, or far too large"
        raise UsageError(explain(fact, cause, "give other weights"))
    top5 = "" if result.top5 is None else f", top-5 {result.top5:.2f} %"
    console.print(
        f"{spec.name} from {weights} on {result.images:,} test images of {data.name}: "
        f"accuracy {result.accuracy:.2f} %{top5}, loss {result.loss:.4f}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return result


def _inputs(weights: Path, metadata: Mapping[str, Any]) -> Inputs:
    """What the weights want of images, as it was kept with them."""
    try:
        return Inputs.read(metadata)
    except (TypeError, ValueError, OverflowError) as error:
        problem = f"what it tells of its images is not usable ({reason(error)})"
        raise cannot_use(weights, problem, metadata.get("version")) from None


def load_for_evaluation(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Load an exported model.

    Args:
        path: a file that ``ldb`` exported, or the folder of a run that is through.

    Returns:
        The model in evaluation mode, and what `read_metadata` tells of it.

    Raises:
        UsageError: there is no such file, or it was not written by ldb.
    """
    if path.is_dir():
        if not (path / WEIGHTS).exists():
            raise _no_weights(path)
        path = path / WEIGHTS
    return load_exported(path), read_metadata(path)


def _no_weights(folder: Path) -> UsageError:
    fact = f"{folder} has no {WEIGHTS}"
    if not (folder / SETTINGS).exists():
        cure = "give a run's folder or an exported file"
        return UsageError(explain(fact, f"without {SETTINGS} it is no run's folder", cure))
    cure = f"finish it with ldb train --out {folder} --resume, or use ldb export {folder}"
    return UsageError(explain(fact, "the run is not finished", cure))


def _test_data(weights: Path, given: Mapping[str, Any], metadata: Mapping[str, Any]) -> ImageData:
    """The images that weights are tested on: their own, or others of the same classes."""
    untold = [name for name in ("classes", "mean", "std") if name not in metadata]
    if untold:
        raise cannot_use(weights, f"it does not tell its {untold[0]}", metadata.get("version"))
    spec = ModelSpec(**metadata["spec"])
    trained, recorded = metadata["classes"], metadata.get("data") or {}
    texts = isinstance(trained, list) and all(isinstance(name, str) for name in trained)
    if not (texts and isinstance(recorded, dict) and isinstance(recorded.get("data", ""), str)):
        problem = "what it tells of its classes and its data is not usable"
        raise cannot_use(weights, problem, metadata.get("version"))
    name = given.get("data", recorded.get("data"))
    if name is None:
        fact = f"{weights} does not say on which data it was trained"
        raise UsageError(explain(fact, "another tool or release wrote it", "give --data"))
    own = "data" not in given
    place = given.get("data_dir", recorded.get("data_dir"))
    lazy = name.partition(":")[0] in ("folder", "hf")
    data = load_data(
        name,
        recorded.get("image_size") if own else spec.image_size,
        None,
        given.get("limit_test", recorded.get("limit_test") if own else None),
        data_dir=None if place is None else Path(place),
        # Images on their way into memory are cut in another way than those read one by one.
        in_memory=recorded.get("in_memory", "auto") if lazy else "auto",
        unreadable=recorded.get("unreadable", "stop") if own else "stop",
    )
    _require_fit(spec, trained, data.classes, data.channels, name)
    return data


def _require_fit(
    spec: ModelSpec, trained: list[str], classes: tuple[str, ...], channels: int, name: str
) -> None:
    if channels != spec.channels:
        fact = f"the images of {name} have {channels} channels, the model takes {spec.channels}"
        raise UsageError(explain(fact, "it was trained on others", "give other --data"))
    known = list(map(nfc, trained))
    if list(classes) != known:
        if sorted(classes) == sorted(known):
            first = next(name for name, other in zip(classes, known, strict=True) if name != other)
            fact = f"{name} has the model's classes in another order, from {spelt(first)} on"
            cure = "train with this release, which goes by their NFC form, or give other --data"
            raise UsageError(explain(fact, "the model knows them by their numbers", cure))
        shown = f"{len(classes)} classes ({', '.join(classes[:3])}, ...)"
        fact = f"{name} has {shown}, the model {len(trained)} ({', '.join(trained[:3])}, ...)"
        raise UsageError(explain(fact, "it was trained on others", "give other --data"))
