"""A run of a random network in a random way; the loop that a user would write."""

import copy
import random
from contextlib import ExitStack

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from layerdropback import LayerDropBack
from random_network import BATCH, CLASSES, WIDTH
from random_way import OPTIMIZERS


def nodes_of(tensor):
    """The names of the graph's nodes behind a tensor, and the leaves, in the order of a walk."""
    stack, seen, kinds, leaves = [tensor.grad_fn], set(), [], []
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        kinds.append(node.name())
        stack += [child for child, _ in node.next_functions]
    return kinds, leaves


class Run:
    """A model and its optimizers, with a controller or without one."""

    def __init__(self, network, way, seed, model):
        self.network, self.way, self.seed, self.model = network, way, seed, model
        self.named = dict(model.named_parameters())  # neither changes; to list them takes long
        self.modules = dict(model.named_modules())
        self.optimizers = self._optimizers()
        self.ldb = None
        self.looks = []  # called with the place in the passes
        self.dropped = set()  # names, of the step that was last made
        self.masks = []
        self.moved = False  # whether a step has had a gradient
        self.gradients = {}  # as that step found them
        self.factor = 1.0

    def is_made_of_the_same(self):
        """Whether the model has the parameters and modules that it began with, by identity."""
        now = dict(self.model.named_parameters()), dict(self.model.named_modules())
        return all(
            [*map(id, one.values())] == [*map(id, other.values())]
            for one, other in zip(now, (self.named, self.modules), strict=True)
        )

    def _optimizers(self):
        parameters = list(self.model.parameters())
        chance = random.Random(f"optimizers {self.seed}")
        letters = self.way.optimizers
        if len(letters) == 2 and len(parameters) > 1:
            chance.shuffle(parameters)
            middle = chance.randrange(1, len(parameters))
            parts = [parameters[:middle], parameters[middle:]]
        else:
            parts = [parameters]
        return [OPTIMIZERS[letter](part) for letter, part in zip(letters, parts, strict=False)]

    def attach(self):
        way = self.way
        self.ldb = LayerDropBack(
            self.model,
            self.optimizers,
            way.strategy,
            way.schedule,
            lr_scale=way.lr_scale,
            seed=way.seed,
            verify=way.verify,
        )
        self.optimizers[-1].register_step_pre_hook(self._note)

    def _note(self, optimizer, args, kwargs):
        """What is dropped in the step that begins; called after the library's own hook."""
        self.gradients = {name: p.grad for name, p in self.named.items()}
        if self.ldb is None:
            return
        self.dropped = self.names_dropped()
        mask = self.ldb.mask
        self.masks.append(None if mask is None else mask.tolist())
        self.moved |= any(gradient is not None for gradient in self.gradients.values())
        self.factor = self.ldb._engine.windows.window.lr_factor

    def names_dropped(self):
        mask = self.ldb.mask
        chosen = () if mask is None else np.flatnonzero(mask)
        return {name for i in chosen for name in self.ldb.layers[i].parameter_names}

    def switched(self):
        """The modules whose outputs are cut off in this window, by name."""
        chosen = set(self.ldb._engine.windows.window.switched)
        return {name for name, module in self.modules.items() if module in chosen}

    def look(self, place):
        for look in self.looks:
            look(place)

    # ---- one batch -------------------------------------------------------------------------------

    def ends_window(self, number):
        """Whether a step comes after this batch; batches are counted from 0."""
        place = number if self.way.carries else number % self.way.batches
        return (place + 1) % self.way.accumulate == 0

    def begins_window(self, number):
        place = number if self.way.carries else number % self.way.batches
        return place % self.way.accumulate == 0

    def passes(self, number, cuts=lambda wanted: None):
        """Forward and backward passes of one batch; all that a twin's are compared with.

        `cuts` is told before each call whether its input requires a gradient.
        """
        way, chance = self.way, random.Random(f"batch {self.seed} {number}")
        torch.default_generator.manual_seed(chance.randrange(2**40))
        found, losses, inputs, outputs, wanted = [], [], [], [], False
        for call in range(way.calls):
            x = torch.randn(BATCH, WIDTH)
            if chance.random() < way.wants:
                inputs.append(x.requires_grad_())
            if way.chained and call:  # the gradient of what it is made of is the user's still
                x = outputs[self.network.trunk]
            else:
                wanted = x.requires_grad
            tokens = torch.randint(CLASSES, (BATCH,))
            cuts(wanted)
            outputs = self.model(x, tokens)
            self.look("forward")
            loss = sum(self._loss(outputs[place]) for place in self.network.used)
            found += [*outputs, loss]
            losses.append(loss)
        for loss in losses if way.each else [sum(losses)]:
            if loss.requires_grad:
                loss.backward()
            self.look("backward")
        return found, [x.grad for x in inputs], torch.get_rng_state()

    def _loss(self, output):
        if output.shape[1] == WIDTH:
            return 0.1 * output.square().mean()
        return functional.cross_entropy(output, torch.randint(CLASSES, (BATCH,)))

    def before_batch(self, number):
        """What a user may do between steps."""
        way = self.way
        self.model.late = number >= way.opens
        if number == way.broken:
            try:
                self.model(torch.randn(BATCH, WIDTH + 1), torch.zeros(BATCH, dtype=torch.long))
            except RuntimeError:
                self.look("broken")
        if number == way.judged:
            self.model.eval()
            with torch.no_grad():
                self.model(torch.ones(BATCH, WIDTH), torch.zeros(BATCH, dtype=torch.long))
            self.model.train()
            self.look("judged")
        if way.zeroes == "before" and self.begins_window(number):
            self.zero()

    def toggle(self, number, behind):
        """Freeze or thaw a part, unless nothing behind the first output would train any more.

        `behind` has for each used output the names of the parameters that it is made with.
        """
        chance = random.Random(f"flags {self.seed} {number}")
        if not self.begins_window(number) or chance.random() >= self.way.toggles:
            return
        named = self.named
        owners = sorted({name.rpartition(".")[0] for name in named})
        part = chance.choice([*named, *owners, *owners])
        chosen = [n for n in named if n == part or n.startswith(f"{part}.") or not part]
        flag = not named[chosen[0]].requires_grad
        before = {name: named[name].requires_grad for name in chosen}
        for name in chosen:
            named[name].requires_grad_(flag)
        if not any(named[name].requires_grad for name in behind[0]):
            for name, old in before.items():
                named[name].requires_grad_(old)

    def step(self):
        for optimizer in self.optimizers:
            optimizer.step()

    def zero(self):
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=self.way.zeroes != "numbers")

    def after_step(self):
        if self.way.zeroes != "before":
            self.zero()

    # ---- states ----------------------------------------------------------------------------------

    def to_save(self):
        """States, weights, and each parameter's flag and gradient."""
        parameters = {name: (p.requires_grad, p.grad) for name, p in self.named.items()}
        states = [o.state_dict() for o in self.optimizers]
        return copy.deepcopy((states, self.model.state_dict(), parameters))


def flags_of(run):
    return {name: parameter.requires_grad for name, parameter in run.named.items()}


class Twin(Run):
    """The reference: what is dropped is frozen by hand, and cut off by hand."""

    def follow(self, number, dropped, switched):
        """The passes with these parameters dropped, and these modules cut off."""
        named, cuts = self.named, False

        def cut(module, args, output):
            return _detached(output) if cuts else None

        def tell(wanted):
            nonlocal cuts
            cuts = not wanted

        lowered = [named[name] for name in dropped if named[name].requires_grad]
        with ExitStack() as undo:
            for name in switched:
                undo.callback(self.modules[name].register_forward_hook(cut).remove)
            for parameter in lowered:
                parameter.requires_grad_(False)
            found = self.passes(number, tell)
        for parameter in lowered:
            parameter.requires_grad_(True)
        return found

    def step_as(self, dropped, factor, forgets):
        """A step in which these have no gradient, at a scaled rate; with `forgets` no state."""
        named = self.named
        for optimizer in self.optimizers:
            for name in dropped:
                named[name].grad = None
                if forgets:
                    optimizer.state.pop(named[name], None)
            rates = [group["lr"] for group in optimizer.param_groups]
            for group in optimizer.param_groups:
                group["lr"] *= factor
            optimizer.step()
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate


def _detached(output):
    if isinstance(output, torch.Tensor):
        return output.detach()
    return type(output)(_detached(one) if one is not None else None for one in output)


def behind_outputs(network, model):
    """For each used output the names of the parameters that it is made with, flags or none."""
    probe = copy.deepcopy(model).requires_grad_(True)
    probe.late = True
    names = {parameter: name for name, parameter in probe.named_parameters()}
    x, tokens = torch.randn(BATCH, WIDTH), torch.zeros(BATCH, dtype=torch.long)
    outputs = probe(x, tokens)
    found = []
    for place in network.used:
        leaves = nodes_of(outputs[place])[1]
        found.append({names[leaf] for leaf in leaves if isinstance(leaf, nn.Parameter)})
    return found
