"""timm models, built for a data set."""

import difflib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from typing import Any, Self

import torch
from torch import nn

from ..errors import UsageError, explain
from ..option import is_count
from . import stems
from .inputs import Inputs
from .pretrained import cannot_load, full_name, pretrained_config, quick_and_quiet


@dataclass(frozen=True)
class ModelSpec:
    """All that is needed to build a model again.

    Attributes:
        name: timm's.
        classes: number of outputs.
        channels: of the images.
        image_size: side in pixels.
        small_stem: whether the stem is the table's for small images.
        args: more arguments of the model, by name.
    """

    name: str
    classes: int
    channels: int
    image_size: int
    small_stem: bool
    args: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, values: object) -> Self:
        """Out of what was kept with weights, where anything may stand.

        Raises:
            ValueError: it describes no model; the text says in what.

        Example:
            >>> ModelSpec.read({"name": "resnet18"})
            Traceback (most recent call last):
            ...
            ValueError: it differs in what it tells of its model: ['args', 'channels', 'classes', \
'image_size', 'small_stem']
        """
        if not isinstance(values, Mapping):
            raise ValueError("it does not describe its model")
        names = {entry.name for entry in fields(cls)}
        if values.keys() != names:
            differing = sorted(map(str, names ^ values.keys()))
            raise ValueError(f"it differs in what it tells of its model: {differing}")
        kinds = {"name": str, "small_stem": bool, "args": dict}
        for name, value in values.items():
            good = isinstance(value, kinds[name]) if name in kinds else is_count(value, 1)
            if not good:
                raise ValueError(f"what it tells of its model is not usable: {name} is {value!r}")
        return cls(**values)


def choose_stem(name: str, image_size: int, stem: str, pretrained: bool = False) -> bool:
    """Decide whether a model gets a small stem.

    Args:
        name: a timm model's name.
        image_size: side in pixels.
        stem: ``"auto"``, ``"small"`` or ``"original"``.
        pretrained: whether it starts from timm's weights, which ``"auto"`` leaves their own stem.

    Raises:
        UsageError: the model is unknown, or there is no small stem for it though one is asked for.
    """
    known = small_stem(name) is not None
    if stem == "small" and not known:
        fact = f"no small stem is known for {name}"
        families = ", ".join(sorted(stems.TABLE))
        raise UsageError(explain(fact, f"the families are {families}", "leave out --stem small"))
    if stem == "auto":
        return known and image_size <= stems.SMALL and not pretrained
    return stem == "small"


def small_stem(name: str) -> stems.Stem | None:
    """The small stem of a timm model's family, if it has one.

    Raises:
        UsageError: the model is unknown.
    """
    stem = stems.TABLE.get(_family(name))
    return None if stem is None or any(part in name for part in stem.but) else stem


def build_model(spec: ModelSpec, pretrained: bool = False) -> tuple[nn.Module, str]:
    """Build a model; what is new in it is drawn from torch's global generator.

    Args:
        spec: what to build.
        pretrained: start from timm's weights, downloaded or from the cache. A classifier for
            another number of classes is new, and so is what a small stem changes.

    Returns:
        The model, and a line that says what its stem is, and which weights it has.

    Raises:
        UsageError: the model is unknown, or cannot take such images, or there are no weights.
    """
    stem = (small_stem(spec.name) if spec.small_stem else None) or stems.Stem()
    arguments = stem.arguments(spec.image_size) or _fixed_size(spec)
    config = pretrained_config(spec.name) if pretrained else None
    try:
        with nullcontext() if config is None else quick_and_quiet(config):
            model = _create(spec, arguments, stem, pretrained)
        changes = stems.apply(model, stem)
        _try(model, spec)
    except Exception as error:  # timm's models fail in many ways on sizes they were not made for
        if config is not None:
            build_model(spec)  # it says so where the weights are not what failed
            raise cannot_load(config, error) from error
        text = str(error).splitlines()
        cause = text[0] if text else type(error).__name__
        fact = f"cannot build {spec.name} for {spec.image_size}x{spec.image_size} images"
        cure = f"choose another --model{', --model-args' if spec.args else ''} or --image-size"
        raise UsageError(explain(fact, cause.rstrip("."), cure)) from error
    said = [", ".join(f"{key}={value}" for key, value in arguments.items()), changes]
    said = [part for part in said if part] or ["as in timm"]
    line = f"stem: {', '.join(said)} (images have {spec.image_size}x{spec.image_size} pixels)"
    if spec.args:
        line += f"; with {', '.join(f'{key}={value}' for key, value in spec.args.items())}"
    if config is not None:
        new = ["stem"] if spec.small_stem else []
        new += ["classifier"] if spec.classes != config.num_classes else []
        line += f"; weights: {full_name(config)}{', with a new ' if new else ''}{' and '.join(new)}"
    return model, line


def inputs_of(model: nn.Module) -> Inputs:
    """What a timm model's pretrained weights want of images.

    Example:
        >>> import timm
        >>> inputs_of(timm.create_model("test_resnet")).std
        [0.5, 0.5, 0.5]
    """
    from timm.data import resolve_model_data_config

    return Inputs.read(resolve_model_data_config(model))


def native_size(name: str) -> int:
    """Side in pixels of the images that a timm model was made for; 224 where timm does not say.

    Raises:
        UsageError: the model is unknown.

    Example:
        >>> native_size("inception_v3")
        299
    """
    import timm

    _family(name)
    try:
        config = timm.models.get_pretrained_cfg(name)
    except RuntimeError:  # an unknown tag; building the model says so
        config = None
    return 224 if config is None or not config.input_size else int(config.input_size[-1])


def _create(
    spec: ModelSpec, arguments: dict[str, Any], stem: stems.Stem, pretrained: bool
) -> nn.Module:
    import timm

    common = {"num_classes": spec.classes, "in_chans": spec.channels, **spec.args}
    fits = pretrained and stem.resampled
    model: nn.Module = timm.create_model(spec.name, pretrained=fits, **{**arguments, **common})
    if pretrained and not fits:
        weights = timm.create_model(spec.name, pretrained=True, **common).state_dict()
        own = model.state_dict()
        fitting = {name: own[name].shape == value.shape for name, value in weights.items()}
        own.update((name, value) for name, value in weights.items() if fitting[name])
        model.load_state_dict(own)
    return model


def _fixed_size(spec: ModelSpec) -> dict[str, Any]:
    """Models with position embeddings and the like are built for one size of images."""
    import timm

    try:
        config = timm.models.get_pretrained_cfg(spec.name)
    except RuntimeError:  # an unknown tag; building the model says so
        return {}
    if config is None or not config.fixed_input_size:
        return {}
    size = (spec.image_size, spec.image_size)
    return {} if tuple(config.input_size[1:]) == size else {"img_size": spec.image_size}


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
        hint = f"did you mean {', '.join(close)}" if close else "see timm.list_models()"
        fact = f"--model {name} is unknown"
        raise UsageError(explain(fact, "timm has no model of that name", hint))
    module: str = timm.model_entrypoint(name).__module__
    return module.rpartition(".")[2]
