"""Does a cut hold? What is kept of activations, and where backward goes, with and without it.

Models of transformers and timm, each plain, with `enable_input_require_grads` (which makes the
embedding's output require a gradient), with gradient checkpointing, and with both. One full step
and one drop step of `Truncate` on the same batch; bytes are exact and need no quiet machine.
GPT-2's head is its embedding, whose early use every cut drops: its gradient is another one then.

    python benchmarks/cut_holds.py
"""

import argparse
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import timm
import torch
import transformers as hf
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from layerdropback import LayerDropBack, Schedule, Truncate
from layerdropback.model.graph import output_tensors

MODELS = ("gpt2", "llama", "bert", "vit-hf", "vit-timm", "resnet18")
WAYS = ("plain", "input grads", "checkpointing", "both")
BLOCKS, SMALL = 6, {"num_hidden_layers": 6, "num_attention_heads": 4, "hidden_size": 64}
SMALL_BERT = SMALL | {"intermediate_size": 128, "hidden_dropout_prob": 0.0}


@dataclass
class Subject:
    """A model, its blocks, and its loss on one batch."""

    model: nn.Module
    blocks: list[nn.Module]
    loss: Callable[[], Tensor]


@dataclass
class Passes:
    """What one forward and backward pass left."""

    held: int
    visited: list[int]
    gradients: dict[str, Tensor]


class Live(TorchDispatchMode):
    """Counts the bytes that operations have made and that still live, each storage once."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in output_tensors(out):
            storage = tensor.untyped_storage()
            self._made[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        return out

    def bytes(self) -> int:
        """Of the storages that live."""
        return sum(size for weak, size in self._made.values() if not weak.expired())


def subject(kind: str, way: str) -> Subject:
    """A small model that has not been trained, in one of `WAYS`."""
    torch.manual_seed(0)
    tokens, labels = torch.randint(0, 97, (4, 32)), torch.tensor([0, 1, 0, 1])
    if kind == "gpt2":
        drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        config = hf.GPT2Config(n_layer=BLOCKS, n_embd=64, n_head=4, vocab_size=97, **drops)
        model, given = hf.GPT2LMHeadModel(config), {"input_ids": tokens, "labels": tokens}
        blocks = model.transformer.h
    elif kind == "llama":
        sizes = SMALL | {"intermediate_size": 128, "num_key_value_heads": 2, "vocab_size": 97}
        model = hf.LlamaForCausalLM(hf.LlamaConfig(**sizes))
        given, blocks = {"input_ids": tokens, "labels": tokens}, model.model.layers
    elif kind == "bert":
        config = hf.BertConfig(vocab_size=97, attention_probs_dropout_prob=0.0, **SMALL_BERT)
        model = hf.BertForSequenceClassification(config)
        given, blocks = {"input_ids": tokens, "labels": labels}, model.bert.encoder.layer
    elif kind == "vit-hf":
        config = hf.ViTConfig(image_size=32, patch_size=8, **SMALL_BERT)
        model = hf.ViTForImageClassification(config)
        given = {"pixel_values": torch.randn(4, 3, 32, 32), "labels": labels}
        blocks = next(m for m in model.modules() if isinstance(m, nn.ModuleList))
    else:
        return _of_timm(kind, way, labels)
    if way in ("checkpointing", "both"):
        # Transformers 5 has another name for it.
        old = model.gradient_checkpointing_enable
        getattr(model, "activation_checkpointing_enable", old)({"use_reentrant": False})
    # Where nothing was enabled transformers before 5 fails.
    if way == "checkpointing" and hasattr(model, "_require_grads_hook"):
        model.disable_input_require_grads()
    if way in ("input grads", "both"):
        model.enable_input_require_grads()
    model.train()
    model.config.use_cache = False
    return Subject(model, list(blocks), lambda: model(**given).loss)


def _of_timm(kind: str, way: str, labels: Tensor) -> Subject:
    if kind == "vit-timm":
        name, sizes = "vit_tiny_patch16_224", {"img_size": 32, "patch_size": 8}
    else:
        name, sizes = "resnet18", {}
    model = timm.create_model(name, num_classes=10, **sizes).train()
    images = torch.randn(4, 3, 32, 32)
    if way in ("checkpointing", "both"):
        model.set_grad_checkpointing()
    if way in ("input grads", "both"):
        first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
        first.register_forward_hook(_require)
    blocks = list(model.blocks) if kind == "vit-timm" else _resnet_blocks(model)
    loss = nn.functional.cross_entropy
    return Subject(model, blocks, lambda: loss(model(images), labels))


def _resnet_blocks(model: nn.Module) -> list[nn.Module]:
    stages = (getattr(model, f"layer{i}") for i in range(1, 5))
    return [block for stage in stages for block in stage]


def _require(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output if output.requires_grad else output.requires_grad_()


@contextmanager
def visits(blocks: list[nn.Module]) -> Iterator[set[int]]:
    """The blocks through whose outputs gradients flow."""
    found: set[int] = set()

    def watch(number: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            if tensor.requires_grad:
                tensor.register_hook(lambda gradient: found.add(number))

        return hook

    handles = [block.register_forward_hook(watch(i)) for i, block in enumerate(blocks)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def passes(it: Subject) -> Passes:
    """One forward and one backward pass, without a step."""
    it.model.zero_grad()
    with visits(it.blocks) as visited, Live() as live:
        loss = it.loss()
        held = live.bytes()
        loss.backward()
    gradients = {n: p.grad.clone() for n, p in it.model.named_parameters() if p.grad is not None}
    return Passes(held, sorted(visited), gradients)


def full_and_cut(it: Subject, share: float = 0.5) -> tuple[Passes, Passes]:
    """The same passes in a full step and in a drop step, from the same weights."""
    full = passes(it)
    it.model.zero_grad()
    optimizer = torch.optim.SGD(it.model.parameters(), lr=0.0)
    ldb = LayerDropBack(it.model, optimizer, Truncate(share), Schedule(every=1, start=0))
    with ldb.epoch(None, 0):
        for _ in range(2):  # the recorded step, and a first drop step, in which a cut is learnt
            it.loss().backward()
            optimizer.step()
            optimizer.zero_grad()
        cut = passes(it)
    ldb.detach()
    return full, cut


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--share", type=float, default=0.5, help="of the backward pass to skip")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.use_deterministic_algorithms(True)
    print("| model | way | held, full | held, cut | visited, full | cut | gradients above equal |")
    print("| --- | --- | ---: | ---: | --- | --- | --- |")
    for kind in chosen.models:
        for way in WAYS:
            full, cut = full_and_cut(subject(kind, way), chosen.share)
            above = cut.gradients.items()
            others = [n for n, value in above if not torch.equal(value, full.gradients[n])]
            equal = f"all but {', '.join(others)}" if others else "all"
            print(
                f"| {kind} | {way} | {full.held:,} | {cut.held:,} | {_span(full.visited)} "
                f"| {_span(cut.visited)} | {equal} of {len(above)} (of {len(full.gradients)}) |",
                flush=True,
            )


def _span(numbers: list[int]) -> str:
    return f"{numbers[0]} to {numbers[-1]}" if numbers else "none"


if __name__ == "__main__":
    main()
