"""LoRA's adapters, for what ``ldb memory`` compares with."""

import warnings
from collections.abc import Sequence
from typing import Any

from torch import nn

from ...errors import UsageError, explain
from ...model.layers import find_layers


def adapt(model: nn.Module, rank: int = 16, only: Sequence[str] = (), **more: Any) -> nn.Module:
    """Freeze a model, and put LoRA's adapters (PEFT) on the matrices in its blocks.

    Args:
        model: which is changed.
        rank: of the adapters.
        only: last parts of the names of the modules that get one; all in the blocks by default.
        **more: arguments of ``LoraConfig``.

    Raises:
        UsageError: PEFT is missing, or the model has no such modules.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        fact, cause = "LoRA cannot be predicted", "the package peft is not installed"
        raise UsageError(explain(fact, cause, "pip install peft, or leave this arm out")) from None
    blocks = (layer for layer in find_layers(model, "block") if layer.is_block)
    inside = {name for block in blocks for name in block.owners}
    names = [name for name, module in model.named_modules() if name in inside and _fits(module)]
    names = [name for name in names if not only or name.rpartition(".")[2] in only]
    if not names:
        fact = f"{type(model).__name__} cannot take LoRA"
        cause = "there is no linear layer or convolution in repeated blocks of it"
        raise UsageError(explain(fact, cause, "leave this arm out"))
    given: dict[str, Any] = {"r": rank, "lora_alpha": 2 * rank, "target_modules": names, **more}
    given["fan_in_fan_out"] = _is_transposed(model.get_submodule(names[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers' names, which PEFT uses
        adapted: nn.Module = get_peft_model(model, LoraConfig(**given))
    return adapted


def _fits(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.groups == 1
    return isinstance(module, nn.Linear) or _is_transposed(module)


def _is_transposed(module: nn.Module) -> bool:
    return type(module).__name__ == "Conv1D"  # GPT-2's linear layers
