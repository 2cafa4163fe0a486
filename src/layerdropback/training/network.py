"""The network of a run, with the weights that it begins with and what its images are scaled by."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from .config import TrainConfig
from .images.data import ImageData
from .initial import initial_inputs, load_initial, scale_head
from .inputs import Inputs
from .model_args import parse_model_args
from .models import ModelSpec, build_model, choose_stem, inputs_of
from .pretrained import pretrained_config


@dataclass(frozen=True)
class Network:
    """A model that is ready for its first step.

    Attributes:
        model: on the device.
        spec: from which it can be built again.
        stem: what was done to its stem, in words.
        start: which weights it begins with, in words; empty where they are random.
        inputs: what it wants of images.
    """

    model: nn.Module
    spec: ModelSpec
    stem: str
    start: str
    inputs: Inputs


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
        inputs = Inputs.read(going_on)
    else:
        if not config.pretrained or pretrained_config(config.model).num_classes != spec.classes:
            scale_head(model, config.head_init_scale)
        if config.init is not None:
            start = load_initial(model, config.init, data.classes, spec)
        inputs = _inputs(config, model, data)
    model = model.to(device)
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return Network(model, spec, stem, start, inputs)


def average(model: nn.Module, decay: float) -> Any:
    """An average of a model's weights, to be tested and exported; None for a decay of 0."""
    if decay == 0:
        return None
    from timm.utils import ModelEmaV3

    return ModelEmaV3(model, decay=decay, use_warmup=True)


def _inputs(config: TrainConfig, model: nn.Module, data: ImageData) -> Inputs:
    """As the first weights were trained, else by the data's own numbers."""
    known = None if config.init is None else initial_inputs(config.init)
    if known is None and (config.pretrained or config.init is not None):
        known = inputs_of(model)
    if known is None:
        known = Inputs(*data.statistics())
    elif len(known.mean) != data.channels:
        mean, std = data.statistics()
        known = replace(known, mean=mean, std=std)
    known = replace(known, crop_pct=config.crop_pct or known.crop_pct)
    return known.for_images(data.size, data.in_memory)
