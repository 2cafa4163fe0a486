"""After training: weights out of a run's folder, and their test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ..errors import UsageError, explain
from .augment import Augments
from .checkpoint import Checkpoints
from .data import load_data
from .evaluate import Score, load_for_evaluation, score
from .export import export_weights, load_exported, read_metadata
from .loop import find_device
from .models import ModelSpec, build_model
from .pipeline import Pipeline
from .run_folder import CHECKPOINTS, SETTINGS, WEIGHTS


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
    run, to = run.expanduser(), to.expanduser()
    if not (run / SETTINGS).exists() and not (run / WEIGHTS).exists():
        cause = f"it has neither {SETTINGS} nor {WEIGHTS}"
        raise UsageError(explain(f"no run in {run}", cause, "name the folder of ldb train"))
    if to.exists() and not overwrite:
        cure = "give another name, or --overwrite"
        raise UsageError(explain(f"--to {to} is there already", "it would be lost", cure))
    if not to.parent.is_dir():
        fact = f"--to {to} cannot be written"
        raise UsageError(explain(fact, f"there is no folder {to.parent}", "make it"))
    if (run / WEIGHTS).exists():
        metadata = read_metadata(run / WEIGHTS)
        model = load_exported(run / WEIGHTS)
        source = "the finished run"
    else:
        found = Checkpoints(run / CHECKPOINTS, keep=1).load(lambda state: None)
        if found is None:
            cause = "it has saved no checkpoint yet"
            raise UsageError(explain(f"{run} has no weights", cause, "train on with --resume"))
        state, path, problems = found
        for problem in problems:
            console.print(f"checkpoint {problem}: taking {path.name}", highlight=False)
        metadata = {"spec": state["export"]["spec"], **state["export"]["notes"]}
        with torch.random.fork_rng(devices=[]):  # the fresh weights are thrown away
            model, _ = build_model(ModelSpec(**metadata["spec"]))
        model.load_state_dict(state["trainer"]["ema"] or state["trainer"]["model"])
        source = f"{path.name}, after {metadata['epochs']} whole epochs"
    notes = {key: value for key, value in metadata.items() if key not in ("spec", "version")}
    export_weights(model, to, ModelSpec(**metadata["spec"]), notes)
    console.print(f"wrote {to}: {source}", highlight=False, markup=False, soft_wrap=True)


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
    device = find_device(given.get("device", "auto"))
    if given.get("threads") is not None:
        torch.set_num_threads(given["threads"])
    model, metadata = load_for_evaluation(weights.expanduser())
    spec = ModelSpec(**metadata["spec"])
    recorded = metadata.get("data") or {}
    name = given.get("data", recorded.get("data"))
    if name is None:
        fact = f"{weights} does not say on which data it was trained"
        raise UsageError(explain(fact, "another tool or release wrote it", "give --data"))
    own = name == recorded.get("data")
    size = recorded.get("image_size") if own else spec.image_size
    data = load_data(
        name,
        size,
        None,
        given.get("limit_test", recorded.get("limit_test") if own else None),
        data_dir=Path(given.get("data_dir", recorded.get("data_dir", "data"))),
        in_memory=recorded.get("in_memory", "auto") if own else "auto",
    )
    _require_fit(spec, metadata["classes"], data.classes, data.channels, name)
    pipeline = Pipeline(
        data,
        Augments.none(),
        batch_size=1,
        seed=0,
        device=device,
        mean=metadata["mean"],
        std=metadata["std"],
        workers=given.get("workers", 0),
    )
    result = score(model.to(device), pipeline.test_batches(), device)
    top5 = "" if result.top5 is None else f", top-5 {result.top5:.2f} %"
    console.print(
        f"{spec.name} from {weights} on {result.images:,} test images of {name}: "
        f"accuracy {result.accuracy:.2f} %{top5}, loss {result.loss:.4f}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return result


def _require_fit(
    spec: ModelSpec, trained: list[str], classes: tuple[str, ...], channels: int, name: str
) -> None:
    if channels != spec.channels:
        fact = f"the images of {name} have {channels} channels, the model takes {spec.channels}"
        raise UsageError(explain(fact, "it was trained on others", "give other --data"))
    if list(classes) != list(trained):
        shown = f"{len(classes)} classes ({', '.join(classes[:3])}, ...)"
        fact = f"{name} has {shown}, the model {len(trained)} ({', '.join(trained[:3])}, ...)"
        raise UsageError(explain(fact, "it was trained on others", "give other --data"))
