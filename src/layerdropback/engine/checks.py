"""What would go wrong, found when something is attached or an epoch begins, all at once."""

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.optim import LBFGS, Adagrad

from ..errors import explain, name_some
from ..interop import private
from ..interop.compiling import compile_ignores_flags, compiled_modules
from ..interop.wrappers import is_adapted
from ..model.layers import Layer
from ..settings import Settings
from ..strategies import Strategy
from .hooks import WeakHook
from .resting import exchanging
from .target import Target


def attach_problems(target: Target, settings: Settings) -> list[str]:
    """Problems of the model and its optimizers, where there are drop epochs at all."""
    strategy = settings.strategy
    rates: Mapping[str, float] = getattr(strategy, "rates", None) or {}
    return [
        *wrapper_problems(target.model),
        *_compile_problems(target),
        *_optimizer_problems(target, settings.lr_scale != 1),
        *_second_controller(target),
        *_nothing_to_train(target),
        *_homeless_parameters(target),
        *_unmatched(target, "keep", strategy.keep),
        *_unmatched(target, "rates", list(rates)),
        *_nothing_to_drop(target, strategy),
        *_resting_problems(target, strategy),
    ]


def epoch_problems(target: Target) -> list[str]:
    """Problems of what has changed since; where parameters come and go nothing else counts."""
    changed = list(_changed_parameters(target))
    return changed or [*_homeless_parameters(target), *_compile_problems(target)]


def model_problems(model: object) -> Iterator[str]:
    """Where it is no model that is ready; nothing else can be looked at then."""
    if not isinstance(model, nn.Module):
        fact = f"model is a {type(model).__name__}"
        yield explain(fact, "a torch.nn.Module is needed", "pass the model itself")
    elif isinstance(model, torch.jit.ScriptModule):
        cause = "its forward pass cannot be hooked"
        cure = "attach to the module before torch.jit.script"
        yield explain(f"model is a {type(model).__name__}", cause, cure)
    elif any(is_lazy(parameter) for parameter in model.parameters()):
        cause = "lazy modules get their parameters in their first forward pass"
        cure = "call the model once before you make the optimizer and attach"
        yield explain("the model has uninitialized parameters", cause, cure)


def optimizers_problems(optimizers: Sequence[object]) -> Iterator[str]:
    """Where they are no optimizers with step hooks; the same."""
    if len({id(optimizer) for optimizer in optimizers}) < len(optimizers):
        cause = "a mask holds until each has stepped"
        yield explain("an optimizer was given twice", cause, "give each once")
    if not optimizers:
        yield explain("there is no optimizer", "the sequence is empty", "pass at least one")
    for optimizer in optimizers:
        if not private.has_step_hooks(optimizer):
            fact = f"optimizer is a {type(optimizer).__name__}"
            cause = "a torch.optim.Optimizer with step hooks is needed"
            cure = "pass the torch optimizer inside it, or a list of those"
            yield explain(fact, cause, cure)


def _homeless_parameters(target: Target) -> Iterator[str]:
    """Trainable parameters in no optimizer; asked again at every epoch, for what was unfrozen."""
    held = set[int]().union(*target.held())
    named = target.named_parameters()
    if homeless := [name for name, p in named if p.requires_grad and id(p) not in held]:
        fact = f"trainable parameters are in no optimizer: {name_some(homeless)}"
        cause = "the optimizer was made before they were (un)frozen or replaced, or one is missing"
        add = "optimizer.add_param_group(...), pass every optimizer as a list, or "
        yield explain(fact, cause, f"{add}freeze them with requires_grad_(False)")


def _nothing_to_train(target: Target) -> Iterator[str]:
    parameters = {id(p): p.requires_grad for _, p in target.named_parameters()}
    if not any(parameters.values()):
        cure = "unfreeze some, or train without LayerDropBack"
        cause = "every parameter has requires_grad=False, or there is none"
        yield explain("the model has no trainable parameter", cause, cure)
        return
    for optimizer, held in zip(target.optimizers, target.held(), strict=True):
        if held.isdisjoint(parameters):
            fact = f"optimizer {type(optimizer).__name__} has no layer to keep"
            cure = "pass only the optimizers that train this model"
            yield explain(fact, "it holds no parameter of this model", cure)


def _changed_parameters(target: Target) -> Iterator[str]:
    """Parameters that were put into or taken out of the model after the attachment."""
    known = {id(parameter) for _, parameter in target.named_parameters()}
    present = {id(parameter): name for name, parameter in target.inner.named_parameters()}
    new = [name for key, name in present.items() if key not in known]
    gone = known - present.keys()
    if new or gone:
        what = f"new: {name_some(new)}" if new else f"{len(gone)} are gone"
        fact = f"the model's parameters are not those LayerDropBack was attached to ({what})"
        cause = "an adapter (LoRA), a new head, or fully_shard came after the attachment"
        cure = "make the model and its optimizer final first, then detach() and attach anew"
        yield explain(fact, cause, cure)


def wrapper_problems(model: nn.Module) -> Iterator[str]:
    """Wrappers around a model, or in it, that cannot work with layers that drop."""
    for name, module in model.named_modules():
        where = f"module {name!r}" if name else "the model"
        kind = type(module).__name__
        is_ddp = isinstance(module, DistributedDataParallel)
        if is_ddp and module.static_graph:
            what = "DDP with static_graph=True"
            cause = "a dropped layer changes the graph in every step"
            cure = "remove static_graph=True, set find_unused_parameters=True"
        elif is_ddp and not module.find_unused_parameters:
            what = "DDP without find_unused_parameters"
            cause = "DDP waits for the gradients of dropped layers, and its replicas diverge"
            cure = "DistributedDataParallel(..., find_unused_parameters=True)"
        elif isinstance(module, DataParallel):
            what, cause = "nn.DataParallel", "its replicas share one set of flags between threads"
            cure = "use DistributedDataParallel with find_unused_parameters=True"
        elif kind == "FullyShardedDataParallel":  # by name: importing FSDP takes a second
            what, cure = kind, "use fully_shard (FSDP2)"
            cause = "FSDP1 flattens layers into one parameter, which cannot be dropped in part"
        else:
            continue
        yield explain(f"{where} is {what}", cause, cure)


def _compile_problems(target: Target) -> Iterator[str]:
    """Compiled graphs in which flags could not be lowered; asked again at every epoch."""
    if private.is_compiled_in_place(target.model):
        cause = "its hooks are compiled too, and the flags could not be lowered before it runs"
        cure = "compile block by block (block.compile()) with unit='block'"
        yield explain("the model was compiled in place as a whole", cause, cure)
        return
    if not compile_ignores_flags():
        return
    for name, module in compiled_modules(target.model):
        held = target.count_layers(module.parameters())
        if held > 1:
            fact = f"{name} is compiled as one graph that holds {held} layers"
            cause = (
                f"torch {torch.__version__} ignores in compiled graphs that requires_grad changed, "
                "so gradients would be silently wrong (pytorch#139476; from 2.12 on it is right)"
            )
            cure = "compile block by block (block.compile()) with unit='block', or use torch 2.12"
            yield explain(fact, cause, cure)


def _optimizer_problems(target: Target, scales_lr: bool) -> Iterator[str]:
    for optimizer in target.optimizers:
        kind = type(optimizer).__name__
        if isinstance(optimizer, LBFGS):
            cause = "it moves parameters that have no gradient"
            cure = "use a first-order optimizer (SGD, AdamW, ...)"
            yield explain(f"optimizer {kind} cannot drop layers", cause, cure)
        if scales_lr and any(group.get("lr") is None for group in optimizer.param_groups):
            cause = "a param group of it has no 'lr' to scale"
            yield explain(f"optimizer {kind} has no learning rate", cause, "set lr_scale=1")


def _second_controller(target: Target) -> Iterator[str]:
    modules, optimizers = target.model.modules(), target.optimizers
    on_model = chain.from_iterable(map(private.forward_pre_hooks, modules))
    hooked = [(f"optimizer {type(o).__name__}", private.step_pre_hooks(o)) for o in optimizers]
    for what, hooks in [*hooked, ("the model", on_model)]:
        if any(isinstance(hook, WeakHook) and hook.alive for hook in hooks):
            cause, cure = "two would undo each other's work", "detach() the first one"
            yield explain(f"{what} has a LayerDropBack already", cause, cure)


def _unmatched(target: Target, what: str, patterns: Sequence[str]) -> Iterator[str]:
    names = [layer.name for layer in target.layers]
    everything = [*names, *(name for name, _ in target.named_parameters())]
    for pattern in patterns:
        if not any(layer.matches(pattern) for layer in target.layers):
            close = difflib.get_close_matches(pattern, everything, n=3)
            hint = f"did you mean {name_some(close)}?" if close else f"there are {name_some(names)}"
            cause = f"no layer or parameter has a name like it; {hint}"
            cure = "give names as in find_layers(model), wildcards allowed"
            yield explain(f"{what}={pattern!r} matches nothing", cause, cure)


def _nothing_to_drop(target: Target, strategy: Strategy) -> Iterator[str]:
    layers = target.layers
    # Frozen layers count: they may be unfrozen while the training goes on.
    kept = [any(layer.matches(name) for name in strategy.keep) for layer in layers]
    if strategy.drops_layers and layers and (all(kept) or len(layers) == 1):
        cause = f"of {len(layers)} layers all are kept (the last one always is)"
        cure = "keep fewer, choose a finer unit, or drop nothing (rate=0)"
        yield explain("no layer can be dropped", cause, cure)


def _left_out(turns: Iterable[Layer], target: Target) -> list[str]:
    """Blocks that are in no optimizer while others of the same list are.

    A list of which none is in one, a frozen teacher's say, is meant to be left alone, as is what
    PEFT has frozen.
    """
    if any(map(is_adapted, target.inner.modules())):
        return []
    held = set[int]().union(*target.held())
    lists: dict[str, dict[str, bool]] = defaultdict(lambda: defaultdict(bool))
    for layer in turns:
        found = re.match(r"(?:(.+?)\.)?\d+(?=\.|\+|$)", layer.name)
        block = found.group() if found else layer.name
        place = found.group(1) or "" if found else layer.name.rpartition(".")[0]
        lists[place][block] |= not held.isdisjoint(map(id, layer.parameters))
    mixed = (blocks for blocks in lists.values() if any(blocks.values()))
    return [block for blocks in mixed for block, is_held in blocks.items() if not is_held]


def _resting_problems(target: Target, strategy: Strategy) -> Iterator[str]:
    """What takes turns must be in an optimizer from the start (ms-swift#10140)."""
    if strategy.resting is None:
        return
    out = _left_out([layer for layer in target.layers if strategy.takes_turns(layer)], target)
    if out:
        cause = "it was made from the parameters that were trainable then"
        cure = "make it from all of model.parameters(), with requires_grad on what may train"
        yield explain(f"no optimizer holds blocks {name_some(out)}, which never train", cause, cure)
    for optimizer in target.optimizers if strategy.resting == "release" else ():
        fact = f"state='release' is not usable with {type(optimizer).__name__}"
        cause, cure = "", "give state='offload' or 'keep'"
        if isinstance(optimizer, Adagrad):
            cause = "it makes its state when it is built, and fails without it"
        elif exchanging(optimizer):
            cause = "its eval() makes the weights that count of every parameter's state"
        if cause:
            yield explain(fact, cause, cure)
