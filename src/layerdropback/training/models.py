"""timm models, built for a data set."""

import difflib
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import UsageError, explain
from . import stems


@dataclass(frozen=True)
class ModelSpec:
    """All that is needed to build a model again.

    Attributes:
        name: timm's.
        classes: number of outputs.
        channels: of the images.
        image_size: side in pixels.
        small_stem: whether the stem is the table's for small images.
    """

    name: str
    classes: int
    channels: int
    image_size: int
    small_stem: bool


def choose_stem(name: str, image_size: int, stem: str) -> bool:
    """Decide whether a model gets a small stem.

    Args:
        name: a timm model's name.
        image_size: side in pixels.
        stem: ``"auto"``, ``"small"`` or ``"original"``.

    Raises:
        UsageError: the model is unknown, or there is no small stem for it though one is asked for.
    """
    known = small_stem(name) is not None
    if stem == "small" and not known:
        fact = f"no small stem is known for {name}"
        families = ", ".join(sorted(stems.TABLE))
        raise UsageError(explain(fact, f"the families are {families}", "leave out --stem small"))
    return known and image_size <= stems.SMALL if stem == "auto" else stem == "small"


def small_stem(name: str) -> stems.Stem | None:
    """The small stem of a timm model's family, if it has one.

    Raises:
        UsageError: the model is unknown.
    """
    stem = stems.TABLE.get(_family(name))
    return None if stem is None or any(part in name for part in stem.but) else stem


def build_model(spec: ModelSpec) -> tuple[nn.Module, str]:
    """Build a model with fresh weights, drawn from torch's global generator.

    Returns:
        The model, and a line that says what its stem is.

    Raises:
        UsageError: the model is unknown, or cannot take such images.
    """
    import timm

    stem = (small_stem(spec.name) if spec.small_stem else None) or stems.Stem()
    arguments = stem.arguments(spec.image_size)
    try:
        model = timm.create_model(
            spec.name, num_classes=spec.classes, in_chans=spec.channels, **arguments
        )
        changes = stems.apply(model, stem)
        _try(model, spec)
    except Exception as error:  # timm's models fail in many ways on sizes they were not made for
        text = str(error).splitlines()
        cause = text[0] if text else type(error).__name__
        fact = f"cannot build {spec.name} for {spec.image_size}x{spec.image_size} images"
        cure = "choose another --model or --image-size"
        raise UsageError(explain(fact, cause.rstrip("."), cure)) from error
    said = [", ".join(f"{key}={value}" for key, value in arguments.items()), changes]
    said = [part for part in said if part]
    size = f"images have {spec.image_size}x{spec.image_size} pixels"
    return model, f"stem: {', '.join(said)} ({size})" if said else f"stem: as in timm ({size})"


def _try(model: nn.Module, spec: ModelSpec) -> None:
    """One forward pass in evaluation mode, which changes no buffer and draws no number."""
    training = model.training
    with torch.no_grad():
        images = torch.zeros(2, spec.channels, spec.image_size, spec.image_size)
        outputs = model.eval()(images)
    model.train(training)
    if not isinstance(outputs, torch.Tensor) or outputs.shape != (2, spec.classes):
        shape = list(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise ValueError(f"two images gave {shape}, not {spec.classes} numbers each")


def _family(name: str) -> str:
    import timm

    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "see timm.list_models()"
        fact = f"--model {name} is unknown"
        raise UsageError(explain(fact, "timm has no model of that name", hint.rstrip(".")))
    module: str = timm.model_entrypoint(name).__module__
    return module.rpartition(".")[2]
