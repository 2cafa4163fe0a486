"""timm's pretrained weights: found, and loaded without minutes of retries or stray output."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..errors import UsageError, explain, name_some
from ..runs.hub import quick_hub
from ..runs.reasons import reason


def pretrained_config(name: str) -> Any:
    """The record that timm has of a model's pretrained weights.

    Args:
        name: a timm model's name, with or without the tag of its weights.

    Returns:
        A ``PretrainedCfg``; it has a source of weights.

    Raises:
        UsageError: there are no weights of that tag, or none for this model.

    Example:
        >>> full_name(pretrained_config("resnet18"))
        'resnet18.a1_in1k'
    """
    import timm

    bare, _, tag = name.partition(".")
    tags = timm.list_pretrained(bare)
    config = timm.models.get_pretrained_cfg(bare) if tag == "" else None
    if tag and name in tags:
        config = timm.models.get_pretrained_cfg(name)
    if config is not None and config.has_weights:
        return config
    if tags:
        cause = f"timm has {name_some(tags, 8)}"
        raise UsageError(explain(f"--pretrained: no weights {name}", cause, "choose one of these"))
    fact = f"--pretrained: no weights for {name}"
    cure = "choose another --model, leave out --pretrained, or give --init FILE"
    raise UsageError(explain(fact, "timm has none for this model", cure))


def full_name(config: Any) -> str:
    """The name of a record's model, with the tag of its weights."""
    return f"{config.architecture}.{config.tag}" if config.tag else str(config.architecture)


@contextmanager
def quick_and_quiet(config: Any) -> Iterator[None]:
    """While timm loads these weights: from the cache alone where the hub cannot be reached.

    What timm and the hub log meanwhile is not shown; the hub's bar of a download is.
    """
    loggers = [logging.getLogger(name) for name in ("timm", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), quick_hub(_on_hub(config)):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def cannot_load(config: Any, error: Exception) -> UsageError:
    """The error to raise where loading these weights has failed."""
    from huggingface_hub import constants

    fact = f"--pretrained: cannot load the weights {full_name(config)}"
    if isinstance(error, RuntimeError):  # other shapes; nothing to do with their source
        cure = "use --stem original, choose another --image-size, or leave out --pretrained"
        return UsageError(explain(fact, reason(error), cure))
    if _on_hub(config):
        source, cache = constants.ENDPOINT, f"{constants.HF_HUB_CACHE} (HF_HOME moves it)"
    else:
        source, cache = str(config.url), f"{torch.hub.get_dir()}/checkpoints (TORCH_HOME moves it)"
    if isinstance(error, OSError):
        cause = f"they are not in {cache}, and {source} did not give them: {_innermost(error)}"
        return UsageError(explain(fact, cause, "run once with a network, or give --init FILE"))
    cause = f"those in {cache} are damaged: {reason(error)}"
    return UsageError(explain(fact, cause, "remove them there, or give --init FILE"))


def _on_hub(config: Any) -> bool:
    return bool(config.hf_hub_id) and not config.file


def _innermost(error: BaseException) -> str:
    """The first cause; the hub's own words advise much and say little."""
    while error.__cause__ is not None:
        error = error.__cause__
    return "no network" if type(error).__name__ == "OfflineModeIsEnabled" else reason(error)
