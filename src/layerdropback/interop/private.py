"""Every private name of torch that the library uses, in one place.

Each has a canary in tests/interop/test_private*.py, which says what breaks when torch changes it.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode  # sees every call

# Tables of a module that hold hooks by number, and facts about the hooks of those numbers.
HOOK_TABLES = ("_forward_pre_hooks", "_forward_hooks")
FACT_TABLES = (
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
)


def node_number(node: Node) -> int:
    """The number of a node of the graph, which rises as the forward pass makes nodes."""
    number: int = node._sequence_nr()
    return number


def next_number() -> int:
    """The number that the next node of this thread will have."""
    number: int = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]
    return number


def after_backward(callback: Callable[[], None]) -> None:
    """Call something when the backward pass that is running ends."""
    torch.autograd.Variable._execution_engine.queue_callback(callback)


def is_in_backward() -> bool:
    """Whether autograd is running: a call of a module now recomputes a checkpointed one."""
    return bool(torch._C._current_graph_task_id() != -1)


def is_scaled_step() -> bool:
    """Whether ``GradScaler`` makes the step that a hook is called in."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        # Not by its locals: a frame that is asked for them keeps them alive.
        if frame.f_globals.get("__name__") == torch.amp.GradScaler.__module__:
            return True
        frame = frame.f_back
    return False


def is_asked_for_by_name(parameter: Tensor) -> bool:
    """Whether the backward pass that is running is ``torch.autograd.grad`` of this parameter."""
    return _accumulates(parameter) is None


def accumulates(parameters: Iterable[Tensor]) -> bool | None:
    """Whether the backward pass that is running will add to ``.grad`` of any of these.

    None where it is ``torch.autograd.grad`` of one of them.
    """
    answers = map(_accumulates, parameters)  # one answers for all
    return next((answer for answer in answers if answer is not False), False)


def _accumulates(parameter: Tensor) -> bool | None:
    if parameter.layout != torch.strided or not parameter.requires_grad:  # it has no such edge
        return False
    node = torch.autograd.graph.get_gradient_edge(parameter).node
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except RuntimeError:  # it has no answer for just these
        return None


def will_run(node: Node) -> bool:
    """Whether the backward pass that is running comes to a node that is no leaf's."""
    return bool(torch._C._will_engine_execute_node(node))


def is_watched(tensor: Tensor) -> bool:
    """Whether a tensor's gradient is kept, or hooked."""
    return tensor.retains_grad or bool(tensor._backward_hooks)


def is_transformed() -> bool:
    """Whether a function is running that ``torch.func`` has transformed (``grad``, ``vmap``)."""
    return torch._C._functorch.maybe_current_level() is not None


def version(tensor: Tensor) -> int:
    """How often a tensor was written to in place."""
    return tensor._version


def stored_values(tensor: Tensor) -> Tensor:
    """The numbers that a sparse tensor holds, coalesced or not; those of a dense one."""
    if tensor.layout == torch.strided:
        return tensor
    return tensor._values() if tensor.layout == torch.sparse_coo else tensor.values()


def is_compile_wrapper(module: nn.Module) -> bool:
    """Whether ``torch.compile(module)`` made this module.

    Told by its attribute, because importing the wrapper's class takes a second.
    """
    return "_orig_mod" in module._modules


def is_compiled_in_place(module: nn.Module) -> bool:
    """Whether ``module.compile()`` was called."""
    return getattr(module, "_compiled_call_impl", None) is not None


def own_parameters(module: nn.Module) -> MutableMapping[str, Any]:
    """The table in which a module holds the parameters that it owns itself."""
    return module._parameters


def forward_pre_hooks(module: nn.Module) -> Iterator[object]:
    """The hooks that run before a module's forward pass."""
    yield from module._forward_pre_hooks.values()


def has_step_hooks(optimizer: object) -> bool:
    """Whether ``Optimizer.__init__`` ran, so that step hooks fire."""
    return isinstance(optimizer, Optimizer) and "_optimizer_step_pre_hooks" in vars(optimizer)


def step_pre_hooks(optimizer: Optimizer) -> Iterator[object]:
    """The hooks that run before an optimizer's step."""
    yield from optimizer._optimizer_step_pre_hooks.values()


def active_parallel() -> DistributedDataParallel | None:
    """The ``DistributedDataParallel`` whose forward pass is running, the innermost one."""
    active: DistributedDataParallel | None = DistributedDataParallel._active_ddp_module
    return active


def has_comm_hook(wrapper: nn.Module) -> bool:
    """Whether a ``DistributedDataParallel`` has a communication hook."""
    any_wrapper: Any = wrapper
    return bool(any_wrapper._comm_hooks)


def settle_sharded(module: nn.Module) -> None:
    """Let a module of FSDP2 make up its mind about types, as its first forward pass does."""
    any_module: Any = module
    any_module._get_fsdp_state()._lazy_init()


def ignores_new_hooks(value: bool | None = None) -> bool:
    """Whether compiled graphs take it that modules' hooks never change; sets it, too."""
    import torch._dynamo.config as dynamo  # half of the compiler

    before: bool = dynamo.skip_nnmodule_hook_guards
    if value is not None:
        dynamo.skip_nnmodule_hook_guards = value
    return before


def fake_mode() -> AbstractContextManager[Any]:
    """While it lasts, tensors have shapes and no data; real ones are taken for such."""
    from torch._subclasses.fake_tensor import FakeTensorMode  # a part of the compiler

    mode: AbstractContextManager[Any] = FakeTensorMode(allow_non_fake_inputs=True)
    return mode


def asks_for_numbers(error: BaseException) -> bool | None:
    """Whether an operation on tensors without data failed because its result is a number.

    None where it is a tensor, whose shape depends on numbers.
    """
    name = type(error).__name__
    if name == "DynamicOutputShapeException":
        return None
    return name == "DataDependentOutputException"
