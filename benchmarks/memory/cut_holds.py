"""Does a cut hold? What is kept of activations, and where backward goes, with and without it.

Models of transformers and timm, each plain, with `enable_input_require_grads` (which makes the
embedding's output require a gradient), with gradient checkpointing, and with both. One full step
and one drop step of `Truncate` on the same batch; bytes are exact and need no quiet machine.
GPT-2's head is its embedding, whose early use every cut drops: its gradient is another one then.

    python -m benchmarks cut-holds
"""

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from layerdropback import LayerDropBack, Schedule, Truncate
from layerdropback.model.graph import output_tensors

from .cut_models import MODELS, WAYS, Subject, subject


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


def flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--share", type=float, default=0.5, help="of the backward pass to skip")


def run(args: argparse.Namespace) -> None:
    """Print a table."""
    warnings.simplefilter("ignore")
    torch.use_deterministic_algorithms(True)
    print("| model | way | held, full | held, cut | visited, full | cut | gradients above equal |")
    print("| --- | --- | ---: | ---: | --- | --- | --- |")
    for kind in args.models:
        for way in WAYS:
            full, cut = full_and_cut(subject(kind, way), args.share)
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
