"""A few blocks train and all else rests, by ``requires_grad``: what `Blocks` and LISA hold."""

import warnings
from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from ...errors import UsageError, explain
from ...model.layers import Layer, find_layers

# Which blocks train; the worst is one of these: backward goes far down, or states are large.
Which = Literal["lowest", "largest"]


def blocks_of(model: nn.Module) -> list[Layer]:
    """The repeated blocks of ``unit="block"``, in the order of registration.

    Example:
        >>> block = lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> [b.name for b in blocks_of(nn.Sequential(block(), block(), nn.Linear(2, 1)))]
        ['0', '1']
    """
    single = {layer.name for layer in find_layers(model, "layer")}
    return [layer for layer in find_layers(model, "block") if layer.name not in single]


def train_blocks(
    model: nn.Module, active: int, which: Which = "lowest", rest: bool = False
) -> nn.Module:
    """Freeze all but a few blocks, as they are in one period of ``Blocks(active)``.

    Args:
        model: whose flags are set.
        active: how many blocks train.
        which: of them.
        rest: whether embeddings, head, and what else lies outside of all blocks train, too (LISA).

    Raises:
        UsageError: the model has no repeated blocks, or fewer.
    """
    blocks = blocks_of(model)
    if len(blocks) < active:
        fact = f"{type(model).__name__} has {len(blocks)} repeated blocks, not {active}"
        cause = "blocks are repeated modules in a Sequential, ModuleList or ModuleDict"
        raise UsageError(explain(fact, cause, "train fewer, or leave this arm out"))
    if which == "largest":
        blocks = sorted(blocks, key=lambda block: -block.numel)
    chosen = {block.name for block in blocks[:active]}
    inside = {block.name for block in blocks}
    for layer in find_layers(model, "block"):
        trains = layer.name in chosen or (rest and layer.name not in inside)
        for parameter in layer.parameters:
            parameter.requires_grad_(trains and parameter.requires_grad)
    return model


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
    inside = {name for block in blocks_of(model) for name in block.owners}
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
