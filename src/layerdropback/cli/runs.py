"""``ldb train``, and what is done with a run afterwards."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..training.config import DEVICES, TrainConfig
from .app import choice, command, flag, stoppable
from .options import layered, with_settings


@command(
    "train",
    "ldb train",
    "ldb train --data cifar10 --download --recipe modern --out runs/mine",
    "ldb train --data folder:pictures --recipe finetune --pretrained --image-size 224",
    "ldb train --out runs/mine --resume",
)
@with_settings
def train(**given: Any) -> None:
    """Train a timm model, with layers dropped (or plain, with --drop-rate 0)."""
    settings = layered(given)
    config = TrainConfig.from_dict(settings)
    config.check()
    from ..training import run

    with stoppable():
        if config.resume:
            run.resume(config, settings)
        else:
            run.train(config)


@command(
    "export",
    "ldb export runs/mine --to model.safetensors",
    "ldb export runs/mine --to model.safetensors --overwrite",
)
def export(
    run: Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)],
    to: Annotated[Path, flag("Output", "The file to write.")],
    overwrite: Annotated[bool, flag("Output", "Replace the file.", "--overwrite")] = False,
) -> None:
    """Write a run's weights as safetensors: of its end, or of its last checkpoint."""
    from ..training.deploy import export_run

    export_run(run, to, overwrite)


@command(
    "evaluate", "ldb evaluate runs/mine", "ldb evaluate model.safetensors --data folder:others"
)
def evaluate(
    weights: Annotated[
        Path, typer.Argument(help="A run's folder, or a file of ldb export.", show_default=False)
    ],
    data: Annotated[str | None, flag("Data", "As for ldb train.  [default: the run's]")] = None,
    data_dir: Annotated[
        Path | None, flag("Data", "Where downloaded data sets are.  [default: the run's]")
    ] = None,
    limit_test: Annotated[int | None, flag("Data", "Use so many test images.")] = None,
    device: Annotated[str, flag("Machine", f"{choice(DEVICES)}.", words=DEVICES)] = "auto",
    threads: Annotated[int | None, flag("Machine", "CPU threads.")] = None,
    workers: Annotated[int | None, flag("Machine", "Processes that read images.")] = None,
) -> None:
    """Test weights on a data set's test images."""
    from ..training.deploy import evaluate_weights

    given = {"data": data, "data_dir": data_dir, "limit_test": limit_test, "device": device}
    given |= {"threads": threads, "workers": workers}
    evaluate_weights(weights, {k: v for k, v in given.items() if v is not None})
