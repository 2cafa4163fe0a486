"""Ways to fine-tune a model of transformers: what drops, what is added, what is frozen."""

import fnmatch
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import UsageError, explain
from ..lab.task import dropped
from ..option import is_count
from ..runs.hub import quick_hub
from ..runs.reasons import reason
from ..training.dropping import FLAGS, Dropping

OPTIMIZERS = ("adamw", "sgd")

# Of a run whose length is not known yet; ramps refer to it.
SOME_LENGTH = 1.0


@dataclass(frozen=True)
class Way:
    """What an arm does differently; by itself it is plain fine-tuning.

    Attributes:
        dropping: LayerDropBack's settings; None: it is not attached.
        lora: rank of LoRA's pairs on `targets`, beside a head that trains; 0: none.
        targets: names of the modules that get pairs, as peft knows them.
        freeze: parameters that do not train, by patterns of their names.
        optimizer: ``"adamw"`` or ``"sgd"``.

    Example:
        >>> Way.of({"strategy": "truncate", "drop_rate": 0.3}).dropping
        Dropping(strategy='truncate', drop_rate=0.3)
    """

    dropping: Dropping | None = None
    lora: int = 0
    targets: tuple[str, ...] = ("query", "value")
    freeze: tuple[str, ...] = ()
    optimizer: str = "adamw"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Way":
        """From an arm's keys: LayerDropBack's flags, and this class's own.

        Raises:
            UsageError: a key or a value is not known.
        """
        own = {entry.name for entry in fields(cls)} - {"dropping"}
        wrong = sorted(values.keys() - own - FLAGS.keys())
        if wrong:
            cause = f"an arm of sentences has {', '.join(sorted(own))} and LayerDropBack's flags"
            raise UsageError(explain(f"an arm sets {wrong[0]!r}", cause, "leave it out"))
        given = {name: value for name, value in values.items() if name in FLAGS}
        made = {name: _entries(value) for name, value in values.items() if name in own}
        way = cls(Dropping(**given) if given else None, **made)
        way.check()
        return way

    def check(self) -> None:
        """Look at every value.

        Raises:
            UsageError: one makes no sense.
        """
        if self.optimizer not in OPTIMIZERS:
            fact, cause = f"optimizer={self.optimizer!r} is unknown", f"it is one of {OPTIMIZERS}"
            raise UsageError(explain(fact, cause, "give one"))
        if not is_count(self.lora):
            fact = f"lora={self.lora!r} is not usable"
            raise UsageError(explain(fact, "a rank from 0 on is needed", "give one"))
        for name in ("targets", "freeze"):
            entries = getattr(self, name)
            if not isinstance(entries, tuple) or not all(isinstance(e, str) for e in entries):
                fact = f"{name}={entries!r} is not usable"
                raise UsageError(explain(fact, "names are needed", f"give {name}=[one, other]"))
        if self.dropping is not None and self.dropping.settings(SOME_LENGTH).batch_scale != 1:
            fact = "batch_scale is not usable with sentences"
            raise UsageError(explain(fact, "their batches are made by length", "leave it out"))

    @property
    def says(self) -> str:
        """In words."""
        parts = []
        if self.dropping is not None:
            settings = self.dropping.settings(SOME_LENGTH)
            parts.append(dropped(settings.strategy, settings.schedule))
        parts += [f"LoRA, rank {self.lora}, on {' and '.join(self.targets)}"] if self.lora else []
        parts += [f"frozen: {', '.join(self.freeze)}"] if self.freeze else []
        parts += [self.optimizer] if self.optimizer != "adamw" else []
        return "; ".join(parts) or "plain fine-tuning"


def network(name: str, kinds: int, way: Way) -> nn.Module:
    """A pretrained model with a new head, as a way has it.

    Args:
        name: a folder of transformers, or a name on the Hub.
        kinds: outputs of the head.
        way: what it adds and freezes.

    Raises:
        UsageError: it cannot be had.
    """
    kind = "AutoModelForSequenceClassification"
    model: nn.Module = from_pretrained(kind, name, num_labels=kinds)
    if way.lora:
        model = _with_lora(model, way)
    for name, parameter in model.named_parameters():
        if any(fnmatch.fnmatch(name, pattern) for pattern in way.freeze):
            parameter.requires_grad_(False)
    unused = [
        p for p in way.freeze if not fnmatch.filter((n for n, _ in model.named_parameters()), p)
    ]
    if unused:
        fact = f"freeze={unused[0]!r} matches no parameter"
        raise UsageError(explain(fact, "no name is like it", "see model.named_parameters()"))
    return model


def _with_lora(model: nn.Module, way: Way) -> nn.Module:
    try:
        from peft import LoraConfig, TaskType, get_peft_model
    except ImportError:
        raise UsageError(explain("lora is not usable", "no peft", "pip install peft")) from None
    config = LoraConfig(
        r=way.lora, lora_alpha=2 * way.lora, target_modules=list(way.targets),
        task_type=TaskType.SEQ_CLS,
    )  # fmt: skip
    try:
        with warnings.catch_warnings():  # of transformers, for what this release of peft asks it
            warnings.simplefilter("ignore", FutureWarning)
            made: nn.Module = get_peft_model(model, config)
    except ValueError as error:
        fact = f"targets={', '.join(way.targets)} is not usable"
        raise UsageError(explain(fact, reason(error), "name modules of the model")) from None
    return made


def make_optimizer(model: nn.Module, way: Way, lr: float, decay: float) -> torch.optim.Optimizer:
    """It holds all parameters that are not frozen, as a strategy may let each of them train."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if way.optimizer == "sgd":
        return torch.optim.SGD(trained, lr=lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(trained, lr=lr, weight_decay=decay, fused=True)


def from_pretrained(kind: str, name: str, **more: Any) -> Any:
    """A part of a model, without bars and reports.

    Raises:
        UsageError: the package or the model is not there.
    """
    try:
        import transformers
    except ImportError:
        cure = "pip install 'layerdropback[transformers]'"
        raise UsageError(explain(f"model={name} is not usable", "no transformers", cure)) from None
    logging: Any = transformers.logging
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with quick_hub(not Path(name).is_dir()):
            return getattr(transformers, kind).from_pretrained(str(name), **more)
    except Exception as error:  # of the Hub, of safetensors, of torch: of many libraries
        cure = "give a folder of transformers, or a name with a network"
        raise UsageError(explain(f"model={name} cannot be loaded", reason(error), cure)) from None
    finally:
        logging.set_verbosity(level)


def _entries(value: Any) -> Any:
    """A list as the dataclass has it."""
    return tuple(value) if isinstance(value, list) else value
