"""What can be dropped: a model's parameters, grouped into layers.

Every parameter, frozen ones too, is in exactly one layer, so that a layer keeps its place (and its
random stream) when the user freezes or unfreezes it during training.
"""

import itertools
import operator
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import networkx
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..errors import AttachError, explain
from ..interop.private import is_compile_wrapper
from ..interop.wrappers import canonical_name, is_adapted, is_sharded, unwrap
from ..option import UNITS, Unit

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Layer:
    """Parameters that are dropped together.

    Attributes:
        name: the module's name; a parameter's for ``unit="tensor"``. Where several modules are one
            layer (they share a tied parameter, say) their names are joined by ``+``. What the model
            itself owns is ``(root)``.
        parameter_names: the names in ``model.named_parameters()``, without compile prefixes.
        parameters: the parameters, in the order of their names.
        owners: the modules that own them; the classifier's tensors are found by it.
        is_block: whether it is one of the repeated blocks, with ``unit="block"``.
    """

    name: str
    parameter_names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...] = field(repr=False, compare=False)
    owners: tuple[str, ...] = field(repr=False)
    is_block: bool = field(default=False, repr=False)

    def named(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Its parameters with their names."""
        return zip(self.parameter_names, self.parameters, strict=True)

    @property
    def numel(self) -> int:
        """How many numbers the layer's parameters hold."""
        return sum(parameter.numel() for parameter in self.parameters)

    @property
    def trainable(self) -> bool:
        """Whether at least one of its parameters requires a gradient now."""
        return any(parameter.requires_grad for parameter in self.parameters)

    @property
    def is_vectors(self) -> bool:
        """Whether it has no matrix and no kernel, as a normalisation has none."""
        return all(parameter.dim() <= 1 for parameter in self.parameters)

    def matches(self, pattern: str) -> bool:
        """Whether a ``keep`` pattern names this layer.

        A pattern is a shell-style wildcard for the layer's name or one of its parameters' names;
        a module's name stands for everything inside it too.

        Example:
            >>> layer = find_layers(nn.Sequential(nn.Linear(2, 2)))[0]
            >>> layer.matches("0"), layer.matches("*.bias"), layer.matches("1")
            (True, True, False)
        """
        names = (self.name, *self.name.split("+"), *self.parameter_names)
        return any(fnmatchcase(name, p) for name in names for p in (pattern, f"{pattern}.*"))


def find_layers(model: nn.Module, unit: Unit = "layer") -> tuple[Layer, ...]:
    """Group a model's parameters into layers, in the order of registration.

    Args:
        model: any module. ``DistributedDataParallel`` and ``torch.compile`` are looked through.
        unit: ``"layer"``: the parameters that a module owns itself are one layer; so are those that
            PEFT adds to a module (LoRA's A and B, DoRA's magnitude). ``"block"``:
            the repeated blocks of a ``Sequential``, ``ModuleList`` or ``ModuleDict`` are one layer
            each (timm's ``group_matcher`` says which, where the model has one); what lies outside
            blocks is split as for ``"layer"``. ``"tensor"``: every parameter by itself, as in the
            authors' scripts (arXiv 2412.18027).

    Returns:
        The layers. Modules that share a tied parameter (one object, or one memory) are one layer;
        for ``"tensor"`` a tied parameter is one layer under its first name.

    Raises:
        AttachError: the unit is unknown.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> [layer.name for layer in find_layers(net)]
        ['0', '2']
        >>> [layer.name for layer in find_layers(net, "tensor")]
        ['0.weight', '0.bias', '2.weight', '2.bias']
    """
    if unit not in UNITS:
        cure = f"give one of {', '.join(UNITS)}"
        raise AttachError([explain(f"unit={unit!r} is unknown", "no such unit exists", cure)])
    model = unwrap(model)
    owned = list(_owned_parameters(model))
    blocks = _blocks(model) if unit == "block" else {}
    if unit == "tensor":
        keys = [full for full, _, _ in owned]
    else:
        keys = [blocks.get(full, owner) for full, owner, _ in owned]
    names = set(blocks.values())
    return tuple(_layer(members, unit, names) for members in _merge(owned, keys))


def fingerprint(layers: Sequence[Layer]) -> list[list[object]]:
    """Each layer's name, parameters and shapes; two models with the same one get the same masks.

    Example:
        >>> from torch import nn
        >>> from layerdropback import find_layers
        >>> fingerprint(find_layers(nn.Linear(2, 3)))
        [['(root)', ['weight (3, 2)', 'bias (3,)']]]
    """
    return [
        [layer.name, [f"{name} {tuple(parameter.shape)}" for name, parameter in layer.named()]]
        for layer in layers
    ]


_Owned = tuple[str, str, nn.Parameter]  # parameter's name, owner's name, parameter


def _owned_parameters(model: nn.Module) -> Iterator[_Owned]:
    """Every (module, parameter) pair; a tied parameter comes once for each owner."""
    adapted = ""
    for raw, module in model.named_modules():
        prefix = canonical_name(raw)
        # A parametrization (weight norm, spectral norm) is a part of the module it computes for.
        owner = prefix.partition(".parametrizations")[0]
        if is_adapted(module):
            adapted = prefix
        elif adapted and owner.startswith(f"{adapted}."):
            is_base = f"{owner}.".startswith(f"{adapted}.base_layer.")
            owner = owner if is_base else adapted  # a pair A and B is of use together only
        for short, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            yield _join(prefix, short), owner, parameter


def _merge(owned: list[_Owned], keys: list[str]) -> Iterator[list[tuple[str, _Owned]]]:
    """Group by key, and join the groups that share a parameter or its memory."""
    graph: networkx.Graph = networkx.Graph()
    for key, (_, _, parameter) in zip(keys, owned, strict=True):
        graph.add_edges_from((key, same) for same in _sames(parameter))
    parts = enumerate(networkx.connected_components(graph))
    part_of = {node: number for number, nodes in parts for node in nodes}
    groups: dict[int, list[tuple[str, _Owned]]] = {}
    for key, entry in zip(keys, owned, strict=True):
        groups.setdefault(part_of[key], []).append((key, entry))
    yield from groups.values()


def _sames(parameter: nn.Parameter) -> Iterator[object]:
    """What tied parameters have in common: one object, or one memory under two."""
    yield id(parameter)
    plain = not is_lazy(parameter) and not is_sharded(parameter)
    if plain and parameter.layout == torch.strided and parameter.data_ptr():
        yield parameter.device, parameter.data_ptr()


def _layer(members: list[tuple[str, _Owned]], unit: str, blocks: Set[str]) -> Layer:
    parameters: dict[nn.Parameter, str] = {}
    for _, (full, _, parameter) in members:
        parameters.setdefault(parameter, full)
    joined = "+".join(dict.fromkeys(key or "(root)" for key, _ in members))
    names, owners = tuple(parameters.values()), dict.fromkeys(o for _, (_, o, _) in members)
    inside = all(key in blocks for key, _ in members)
    name = names[0] if unit == "tensor" else joined
    return Layer(name, names, tuple(parameters), tuple(owners), inside)


def _blocks(model: nn.Module) -> dict[str, str]:
    """Parameter name to block name, for the parameters that lie inside a block."""
    blocks: dict[str, str] = {}
    done: list[str] = []  # a matcher speaks for every module inside its own
    for raw, module in model.named_modules():
        prefix = canonical_name(raw)
        if not callable(getattr(module, "group_matcher", None)):
            continue
        if any(not outer or prefix.startswith(f"{outer}.") for outer in done):
            continue
        done.append(prefix)
        for name, group in _timm_blocks(module).items():
            blocks[_join(prefix, name)] = "+".join(_join(prefix, part) for part in group)
    for name in [] if blocks else _repeated_blocks(model):
        for full, _ in model.get_submodule(name).named_parameters():
            clean = canonical_name(name)
            blocks[_join(clean, canonical_name(full))] = clean
    return blocks


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _timm_blocks(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Parameter name to the modules of its block, as timm's ``group_matcher`` groups them."""
    try:
        from timm.models import group_parameters
    except ImportError:
        return {}
    spec = model.group_matcher(coarse=False)  # type: ignore[operator]
    rules = spec.get("blocks") if isinstance(spec, dict) else None
    if not rules:
        return {}
    every = [rules] if isinstance(rules, str) else [expression for expression, _ in rules]
    # One without a number is of no repeated block: the final norm, which goes with the last one.
    patterns = [pattern for pattern in map(re.compile, every) if pattern.groups]
    names = [name for name, _ in model.named_parameters()]
    in_blocks = {name for name in names if any(pattern.match(name) for pattern in patterns)}
    groups = [
        tuple(name for name in group if name in in_blocks)
        for group in group_parameters(model, {"blocks": rules}).values()
    ]
    groups = [group for group in groups if group]
    if len(groups) < 2:  # a matcher without an index says nothing about repeated blocks
        return {}
    modules = {group: _cover(group, names) for group in groups}
    return {canonical_name(name): modules[group] for group in groups for name in group}


def _cover(group: Iterable[str], names: list[str]) -> tuple[str, ...]:
    """The fewest modules that hold just this group of parameters."""
    inside = set(group)
    outside = [name for name in names if name not in inside]
    cover: dict[str, None] = {}
    for name in group:
        parts = name.split(".")
        prefixes = (".".join(parts[:depth]) for depth in range(1, len(parts)))
        whole = (p for p in prefixes if not any(o.startswith(f"{p}.") for o in outside))
        cover[canonical_name(next(whole, name))] = None
    return tuple(cover)


def _repeated_blocks(model: nn.Module) -> list[str]:
    """Names of the repeated modules inside the model's containers, outermost first."""
    candidates: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        if isinstance(module, _CONTAINERS):
            for child, block in module.named_children():
                if any(True for _ in block.children()) and any(True for _ in block.parameters()):
                    candidates[_join(name, child)] = block
    kinds = Counter(_kind(block) for block in candidates.values())
    repeated = [name for name, block in candidates.items() if kinds[_kind(block)] > 1]
    real = [name for name in repeated if not isinstance(candidates[name], _CONTAINERS)]
    # A container is a block only where no real block lies inside it: stages hold blocks.
    stages = set(real).union(*map(_around, real))
    blocks = real + [name for name in repeated if name not in stages]
    known = set(blocks)
    return [name for name in blocks if known.isdisjoint(_around(name))]


def _around(name: str) -> Iterator[str]:
    """The names of the modules that a module lies in, the model itself left out."""
    parts = name.split(".")
    return map(".".join, itertools.accumulate(([part] for part in parts[:-1]), operator.add))


def _kind(module: nn.Module) -> type[nn.Module]:
    return type(module.get_submodule("_orig_mod") if is_compile_wrapper(module) else module)
