"""``ldb profile``: where a model's step spends its time, and what dropping saves of it."""

from typing import Annotated, Any

from ..training.config import TrainConfig
from ..training.dropping import strategies_with
from .app import command, flag
from .options import layered, numbers, with_settings

_WITH_RATES = ("all", *strategies_with("drop_rate"))


def _profile(
    rates: Annotated[str, flag("Dropping", "Drop rates to try.")] = "0.25,0.5,0.75",
    strategies: Annotated[
        str,
        flag(
            "Dropping", "Ways to drop to try, with commas between them, or all.", words=_WITH_RATES
        ),
    ] = "all",
    pairs: Annotated[
        int, flag("Comparison", "Full and drop steps that take turns, for each of them.")
    ] = 15,
    classes: Annotated[int, flag("Model", "Outputs of the model.")] = 1000,
    **given: Any,
) -> None:
    """Show where a model's step spends its time, and what dropping would save of it."""
    config = TrainConfig.from_dict(layered(given))
    config.check()
    from ..runs.folder import writable
    from ..tasks.profile_plan import Plan

    chosen = () if strategies == "all" else tuple(strategies.replace(" ", "").split(","))
    plan = Plan(numbers(rates, "--rates"), chosen, pairs, classes)
    plan.check()
    if config.out is not None:
        writable(config.out, config.overwrite)
    from ..tasks.profiling import profile_model  # and torch

    profile_model(config, plan)


command(
    "profile",
    "ldb profile --model resnet50 --image-size 32",
    "ldb profile --model vit_small_patch16_224 --image-size 224 --rates 0.5 --out runs/profile",
)(
    with_settings(
        _profile,
        only={"model", "model_args", "stem", "image_size", "batch_size"}
        | {"optimizer", "lr", "momentum", "weight_decay", "decay_all", "unit", "keep"}
        | {"precision", "tf32", "channels_last", "compile", "seed", "device", "threads"}
        | {"out", "overwrite"},
    )
)
