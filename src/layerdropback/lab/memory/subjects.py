"""What is trained: a model of timm, or of a Hugging Face config, and its batches."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UsageError, explain
from ...runs.parsing import of_json
from ...runs.reasons import reason
from ..calling import Loss


@dataclass(frozen=True)
class Subject:
    """A model that is to be made, and batches for it.

    Attributes:
        name: for a table.
        sample: what a batch is made of, in words.
        make_model: makes it in torch's default type.
        make_batch: of so many samples.
        loss: of its outputs; None for its own.
    """

    name: str
    sample: str
    make_model: Callable[[], nn.Module]
    make_batch: Callable[[int], Any]
    loss: Loss | None = None


def timm_subject(name: str, image_size: int | None, classes: int) -> Subject:
    """A model of timm, on images.

    Args:
        name: timm's.
        image_size: side in pixels; by default that for which the model was made.
        classes: its outputs.

    Raises:
        UsageError: timm has no such model.

    Example:
        >>> timm_subject("resnet18", 64, 10).sample
        'images of 64x64 pixels'
    """
    import timm

    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(close)}" if close else "see timm.list_models()"
        cause = "timm has no model of that name"
        raise UsageError(explain(f"--model {name} is unknown", cause, hint))
    try:
        config = timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:  # an unknown tag
        cause, cure = reason(error), "give the name without the tag, or another one"
        raise UsageError(explain(f"--model {name} is unknown", cause, cure)) from None
    native = int(config.input_size[-1]) if config is not None and config.input_size else 224
    size = native if image_size is None else image_size
    fixed = config is not None and config.fixed_input_size and size != native
    more: dict[str, Any] = {"img_size": size} if fixed else {}

    def make_model() -> nn.Module:
        model: nn.Module = timm.create_model(name, num_classes=classes, **more)
        return model

    sample = f"images of {size}x{size} pixels"
    return Subject(name, sample, make_model, lambda rows: _pixels(rows, 3, size), _cross_entropy)


def _pixels(rows: int, channels: int, side: int) -> Tensor:
    return torch.randn(rows, channels, side, side, dtype=torch.get_default_dtype())


def _cross_entropy(outputs: Tensor) -> Tensor:
    targets = torch.zeros(len(outputs), dtype=torch.long)
    return nn.functional.cross_entropy(outputs, targets)


def config_subject(path: Path, tokens: int, image_size: int | None, classes: int) -> Subject:
    """A model of a Hugging Face config; no weights are needed.

    It is the model that the config names: for causal language modelling where there is one of that
    kind, else for classifying images or sentences.

    Args:
        path: of a ``config.json``, or of its folder.
        tokens: of a row.
        image_size: side in pixels; by default the config's.
        classes: of a classifier.

    Raises:
        UsageError: the config cannot be used.
    """
    config = _read(path)
    name = _name(path)
    maker, kind = _maker(config, path)
    config.use_cache = False  # of keys and values for generating
    if kind == "images":
        config.num_labels = classes
        side = getattr(config, "image_size", None) if image_size is None else image_size
        side = side if isinstance(side, int) else 224
        return Subject(name, f"images of {side}x{side} pixels", maker, _images(config, side))
    if kind == "sentences":
        config.num_labels = classes
    else:
        longest = getattr(config, "max_position_embeddings", None)
        if isinstance(longest, int) and 0 < longest < tokens:
            fact, cause = f"--tokens {tokens} is too long", f"the config of {name} says {longest}"
            raise UsageError(explain(fact, cause, f"give at most {longest}"))
    made = _tokens(config, tokens, one_label=kind == "sentences")
    return Subject(name, f"{kind} of {tokens:,} tokens", maker, made)


def _name(path: Path) -> str:
    whole = path.resolve()
    if whole.is_dir():
        return whole.name
    return whole.parent.name if whole.name == "config.json" else whole.stem


def _read(path: Path) -> Any:
    flag = f"--hf-config {path}"
    try:
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    except ImportError:
        cause = "the package transformers is not installed"
        cure = "pip install 'layerdropback[transformers]'"
        raise UsageError(explain(f"{flag} cannot be used", cause, cure)) from None
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        cause = "the folder has no config.json" if path.is_dir() else "there is no such file"
        cure = "give a model's config.json, or the folder that it is in"
        raise UsageError(explain(f"{flag} cannot be read", cause, cure))
    try:
        values = of_json(file.read_text())
        kind = values["model_type"]
    except (ValueError, KeyError, TypeError):
        cause = "it is no JSON with a model_type"
        raise UsageError(
            explain(f"{flag} is no config", cause, "give a model's config.json")
        ) from None
    try:
        return CONFIG_MAPPING[kind].from_dict(values)
    except KeyError:
        fact, cause = f"{flag} cannot be built", f"transformers knows no model_type {kind!r}"
        cure = "install a newer transformers, or give the config of a model that it has"
        raise UsageError(explain(fact, cause, cure)) from None
    except Exception as error:  # values that make no sense fail in many ways
        cure = "correct the config"
        raise UsageError(explain(f"{flag} cannot be used", reason(error), cure)) from None


def _maker(config: Any, path: Path) -> tuple[Callable[[], nn.Module], str]:
    """What makes the model, and what it is trained on: rows of text, sentences or images."""
    import transformers as hf

    found: list[tuple[Any, str]] = [
        (hf.AutoModelForCausalLM, "rows"),
        (hf.AutoModelForImageClassification, "images"),
        (hf.AutoModelForSequenceClassification, "sentences"),
    ]
    if not _writes(config):
        found = [*found[1:], found[0]]
    found = [(auto, kind) for auto, kind in found if type(config) in auto._model_mapping]
    if not found:
        fact = f"--hf-config {path} cannot be trained here"
        cause = f"{type(config).__name__} is of no causal language model and of no classifier"
        raise UsageError(explain(fact, cause, "use layerdropback.lab.predict_memory in Python"))
    auto, kind = found[0]

    def make_model() -> nn.Module:
        # Else the type that the config names would go before.
        own = "dtype" if hasattr(config, "dtype") else "torch_dtype"
        setattr(config, own, torch.get_default_dtype())
        model: nn.Module = auto.from_config(config)
        return model

    return make_model, kind


def _writes(config: Any) -> bool:
    """Whether it is of a causal language model; BERT's kind can be made one, too, but is none."""
    if config.architectures:
        return any("Causal" in name or "LMHead" in name for name in config.architectures)
    import transformers as hf

    return type(config) not in hf.AutoModelForMaskedLM._model_mapping


def _tokens(config: Any, tokens: int, one_label: bool) -> Callable[[int], Any]:
    def make(rows: int) -> dict[str, Tensor]:
        numbers = torch.randint(0, config.vocab_size, (rows, tokens))
        labels = torch.zeros(rows, dtype=torch.long) if one_label else numbers
        return {"input_ids": numbers, "labels": labels}

    return make


def _images(config: Any, side: int) -> Callable[[int], Any]:
    def make(rows: int) -> dict[str, Tensor]:
        images = _pixels(rows, getattr(config, "num_channels", 3), side)
        return {"pixel_values": images, "labels": torch.zeros(rows, dtype=torch.long)}

    return make
