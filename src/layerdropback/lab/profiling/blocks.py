"""What each block of a model costs: time, FLOPs, memory and parameters."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from ...model.graph import output_tensors
from ...model.layers import find_layers
from ..held import own_memory
from .bench import Bench
from .corrections import corrections
from .cost import Trial

REST = "(outside)"


@dataclass(frozen=True)
class BlockCost:
    """One block's part of a full step.

    Attributes:
        name: the module's, or ``"(outside)"`` for what lies in none.
        forward: seconds, the median over steps.
        backward: seconds, the median: from the gradient of the block's output until that of the
            block whose turn is next.
        flops: of both passes.
        saved: bytes that its forward pass keeps for its backward pass, the inputs' among them.
        parameters: their number.
        n: steps that the medians are over.
    """

    name: str
    forward: float
    backward: float
    flops: int
    saved: int
    parameters: int
    n: int


def block_costs(bench: Bench, steps: int = 5, warmup: int = 2) -> list[BlockCost]:
    """Cost of each block in a full step, in the order of use.

    Blocks are those of ``unit="block"``: repeated modules, and the single modules outside of them.
    The device is waited for at their borders, so on a GPU the times are more than a step's.

    Args:
        bench: whose steps.
        steps: that count.
        warmup: before these.

    Example:
        >>> import torch
        >>> bench = Bench(nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 2)), torch.ones(4, 3))
        >>> [(block.name, block.flops, block.parameters) for block in block_costs(bench)]
        [('0', 384, 32), ('1', 384, 18)]
    """
    blocks = _blocks(bench.model)
    watch = _Watch(blocks, bench.model, bench.clock)
    times = []
    with watch.watching():
        for number in range(warmup + steps):
            watch.begin()
            step = bench.step()
            if number >= warmup:
                times.append(watch.end(step.forward_end, step.backward_end))
    flops = _flops(bench)
    parameters = _parameters(bench.model, blocks)
    unused = [name for name in blocks if name not in watch.order]
    forwards, backwards = zip(*times, strict=True)
    found = [
        BlockCost(
            name,
            forward=statistics.median(part[name] for part in forwards),
            backward=statistics.median(part[name] for part in backwards),
            flops=flops[name],
            saved=watch.saved[name],
            parameters=parameters[name],
            n=steps,
        )
        for name in [*watch.order, *unused, REST]
    ]
    if not (found[-1].flops or found[-1].saved or found[-1].parameters):
        found.pop()
    return found


def _flops(bench: Bench) -> Counter[str]:
    """FLOPs of each block in both passes, kept apart in the same way as its time."""
    trial = Trial(bench.model, bench.batch, bench.loss)
    with (
        torch.random.fork_rng(),
        FlopCounterMode(display=False, custom_mapping=corrections()) as counter,
    ):
        watch = _Watch(_blocks(trial.model), trial.model, counter.get_total_flops)
        with watch.watching():
            watch.begin()
            loss = trial.forward()
            forward_end = counter.get_total_flops()
            loss.backward()  # type: ignore[no-untyped-call]
            forward, backward = watch.end(forward_end, counter.get_total_flops())
    forward.update(backward)
    return forward


def _blocks(model: nn.Module) -> dict[str, nn.Module]:
    modules = dict(model.named_modules())
    names = [part for layer in find_layers(model, "block") for part in layer.name.split("+")]
    return {name: modules[name] for name in dict.fromkeys(names) if name and name in modules}


def _parameters(model: nn.Module, modules: dict[str, nn.Module]) -> Counter[str]:
    owners = {id(p): name for name, module in modules.items() for p in module.parameters()}
    counts: Counter[str] = Counter()
    for parameter in model.parameters():
        counts[owners.get(id(parameter), REST)] += parameter.numel()
    return counts


class _Watch:
    """Notes what is spent in the forward and in the backward pass of each block.

    Args:
        blocks: by name.
        model: that holds them.
        meter: gives what has been spent until now: seconds, or FLOPs.
    """

    def __init__(
        self, blocks: Mapping[str, nn.Module], model: nn.Module, meter: Callable[[], float]
    ):
        self._blocks, self._meter = blocks, meter
        self._own = own_memory(model)
        self.order: list[str] = []
        self.saved: Counter[str] = Counter()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While hooks are on the blocks."""
        with ExitStack() as hooks:
            for name, module in self._blocks.items():
                enter, leave = partial(self._enter, name), partial(self._leave, name)
                before = module.register_forward_pre_hook(enter, with_kwargs=True)
                hooks.callback(before.remove)
                hooks.callback(module.register_forward_hook(leave).remove)
            hooks.enter_context(saved_tensors_hooks(self._pack, lambda packed: packed))
            yield

    def begin(self) -> None:
        """A step begins."""
        self._forward: Counter[str] = Counter()
        self._inside = REST
        self._since = self._meter()
        self._stamps: list[tuple[float, str]] = []
        self._outputs: WeakValueDictionary[int, Tensor] = WeakValueDictionary()
        self._seen: set[int] = set()
        self.saved.clear()

    def end(self, forward_end: float, backward_end: float) -> tuple[Counter[str], Counter[str]]:
        """What the step spent in the forward and the backward pass of each block.

        It is given what the meter said when each pass was over.
        """
        self._forward[REST] += forward_end - self._since  # type: ignore[assignment]
        stamps = [(forward_end, REST), *self._stamps]
        ends = [start for start, _ in self._stamps] + [backward_end]
        backward: Counter[str] = Counter()
        for (start, block), end in zip(stamps, ends, strict=True):
            backward[block] += end - start  # type: ignore[assignment]
        return self._forward, backward

    def _enter(self, name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._mark(name)
        if name not in self.order:
            self.order.append(name)
        # With its inputs' gradients the block is through, if no other block is next.
        for tensor in output_tensors((args, kwargs)):
            between = self._outputs.get(id(tensor)) is not tensor
            if tensor.requires_grad and not tensor.is_leaf and between:
                self._stamp(tensor, REST)

    def _leave(self, name: str, module: nn.Module, args: Any, outputs: Any) -> None:
        self._mark(REST)
        for tensor in output_tensors(outputs):
            if tensor.requires_grad:
                self._outputs[id(tensor)] = tensor
                self._stamp(tensor, name)

    def _mark(self, inside: str) -> None:
        now = self._meter()
        self._forward[self._inside] += now - self._since  # type: ignore[assignment]
        self._inside, self._since = inside, now

    def _stamp(self, tensor: Tensor, block: str) -> None:
        stamps, meter = self._stamps, self._meter

        def stamp(gradient: Tensor) -> None:
            stamps.append((meter(), block))

        tensor.register_hook(stamp)  # type: ignore[no-untyped-call]

    def _pack(self, tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in self._own | self._seen:
            self._seen.add(memory.data_ptr())
            self.saved[self._inside] += memory.nbytes()
        return tensor
