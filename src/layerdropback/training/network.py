"""The network of a run, with the weights that it begins with and what its images are scaled by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .config import TrainConfig
from .images.data import ImageData
from .initial import initial_normalisation, load_initial
from .model_args import parse_model_args
from .models import ModelSpec, build_model, choose_stem, normalisation


@dataclass(frozen=True)
class Network:
    """A model that is ready for its first step.

    Attributes:
        model: on the device.
        spec: from which it can be built again.
        stem: what was done to its stem, in words.
        start: which weights it begins with, in words; empty where they are random.
        mean: of the images' channels.
        std: the same.
    """

    model: nn.Module
    spec: ModelSpec
    stem: str
    start: str
    mean: list[float]
    std: list[float]


def make_network(
    config: TrainConfig,
    data: ImageData,
    device: torch.device,
    going_on: Mapping[str, Any] | None = None,
) -> Network:
    """Build a run's model.

    Args:
        config: of the run.
        data: whose classes and images it is for.
        device: where it goes.
        going_on: a state that will be loaded; then no first weights are looked for.

    Raises:
        UsageError: the model or its first weights cannot be had.
    """
    small = choose_stem(config.model, data.size, config.stem, config.pretrained)
    arguments = parse_model_args(config.model_args)
    spec = ModelSpec(config.model, len(data.classes), data.channels, data.size, small, arguments)
    model, stem = build_model(spec, config.pretrained and going_on is None)
    start = ""
    if going_on is not None:
        mean, std = going_on["mean"], going_on["std"]
    else:
        if config.init is not None:
            start = load_initial(model, config.init, data.classes, spec)
        mean, std = _normalisation(config, model, data)
    model = model.to(device)
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return Network(model, spec, stem, start, mean, std)


def average(model: nn.Module, decay: float) -> Any:
    """An average of a model's weights, to be tested and exported; None for a decay of 0."""
    if decay == 0:
        return None
    from timm.utils import ModelEmaV3

    return ModelEmaV3(model, decay=decay, use_warmup=True)


def _normalisation(
    config: TrainConfig, model: nn.Module, data: ImageData
) -> tuple[list[float], list[float]]:
    """Those with which the first weights were trained, or the data's own."""
    known = None
    if config.pretrained:
        known = normalisation(model)
    elif config.init is not None:
        known = initial_normalisation(config.init)
    if known is not None and len(known[0]) == data.channels:
        return known
    return data.statistics()
