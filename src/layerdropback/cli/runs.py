"""``ldb train``, and what is done with a run afterwards."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..training.config import TrainConfig
from .app import app, stoppable
from .options import layered, with_settings


@app.command()
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


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)],
    to: Annotated[Path, typer.Option(help="The file to write.", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write a run's weights as safetensors: of its end, or of its last checkpoint."""
    from ..training.deploy import export_run

    export_run(run, to, overwrite)


@app.command()
def evaluate(
    weights: Annotated[
        Path, typer.Argument(help="A run's folder, or a file of ldb export.", show_default=False)
    ],
    data: Annotated[
        str | None, typer.Option(help="As for ldb train.  [default: the run's]")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where downloaded data sets are.  [default: the run's]")
    ] = None,
    limit_test: Annotated[int | None, typer.Option(help="Use so many test images.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that read images.")] = None,
) -> None:
    """Test weights on a data set's test images."""
    from ..training.deploy import evaluate_weights

    given = {"data": data, "data_dir": data_dir, "limit_test": limit_test, "device": device}
    given |= {"threads": threads, "workers": workers}
    evaluate_weights(weights, {k: v for k, v in given.items() if v is not None})
