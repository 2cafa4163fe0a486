"""Random small networks, made as Python code: a failure can show its network, and run it alone.

Every value is a batch of vectors of one width, so that any layer takes any value.
"""

import random
from dataclasses import dataclass
from functools import lru_cache
from textwrap import indent

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.checkpoint import checkpoint

WIDTH, CLASSES, BATCH = 6, 5, 4


class Block(nn.Module):
    """What is repeated: a residual branch or two, or none."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        width = WIDTH
        if kind == "norm":
            self.inner = nn.Sequential(nn.Linear(width, 8), nn.BatchNorm1d(8), nn.Linear(8, width))
        else:
            self.inner = nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 8), nn.Dropout(0.2), nn.Linear(8, width)
            )
        if kind in ("double", "projected"):
            self.other = nn.Linear(width, width)

    def forward(self, x):
        if self.kind == "plain":
            return torch.tanh(self.inner(x))
        if self.kind == "projected":
            return torch.relu(self.other(x) + self.inner(x))
        x = x + self.inner(x)
        return x + self.other(x) if self.kind == "double" else x


BLOCKS = ("plain", "skip", "norm", "double", "projected")

# How a layer is made, and how it is called: {m} is the module, {v} and {w} are values.
LAYERS = {
    "linear": ("nn.Linear(6, 6)", "torch.tanh({m}({v}))"),
    "in place": ("nn.Linear(6, 6)", "functional.relu({m}({v}), inplace=True)"),
    "skip": ("nn.Linear(6, 6)", "{v} + {m}({v})"),
    "bare": ("nn.Linear(6, 6, bias=False)", "{m}({v})"),
    "joined": ("nn.Linear(12, 6)", "{m}(torch.cat([{v}, {w}], 1))"),
    "bilinear": ("nn.Bilinear(6, 6, 6)", "torch.tanh({m}({v}, {w}))"),
    "conv": ("nn.Conv1d(2, 2, 3, padding=1)", "{m}({v}.unflatten(1, (2, 3))).flatten(1)"),
    "layer norm": ("nn.LayerNorm(6)", "{m}({v})"),
    "batch norm": ("nn.BatchNorm1d(6)", "{m}({v})"),
    "prelu": ("nn.PReLU()", "{m}({v})"),
    "dropout": ("nn.Dropout(0.3)", "{m}({v})"),
    "embedding": ("nn.Embedding(5, 6)", "{v} + {m}(tokens)"),
    "vector": ("nn.Parameter(torch.rand(6) + 0.5)", "{v} * {m}"),
    "weight norm": ("weight_norm(nn.Linear(6, 6))", "torch.tanh({m}({v}))"),
    "gru": ("nn.GRU(2, 2, batch_first=True)", "{m}({v}.unflatten(1, (3, 2)))[0].flatten(1)"),
    "lstm": ("nn.LSTM(2, 2, batch_first=True)", "{m}({v}.unflatten(1, (3, 2)))[0].flatten(1)"),
    "cell": ("nn.GRUCell(6, 6)", "{m}({v}, {w})"),
    "attention": (
        "nn.MultiheadAttention(2, 1, batch_first=True)",
        "{m}(*[{v}.unflatten(1, (3, 2))] * 3, need_weights=False)[0].flatten(1)",
    ),
}

JOINS = ("{v} + {w}", "torch.tanh({v} * {w})", "torch.where({v} > 0, {v}, {w})", "{v}.detach()")

# The matrices of these have one shape, and may be tied.
SQUARE = ("linear", "in place", "skip", "bare")

# Of these torch's counter knows what a backward pass costs.
COUNTED = {"linear", "in place", "skip", "bare", "joined", "conv", "layer norm", "batch norm"}
COUNTED |= {"dropout", "prelu", "vector", "embedding", "block", "checkpointed", "tied"}


@dataclass(frozen=True)
class Network:
    """The code of a network, and what a loop must know of it.

    Attributes:
        code: of the class ``Net``; its call returns a list of outputs.
        used: the places of the outputs that a loss is made of.
        trunk: the place of an output that is as wide as an input, or None.
        kinds: of the layers.
    """

    code: str
    used: tuple[int, ...]
    trunk: int | None
    kinds: frozenset[str]

    @property
    def counts(self):
        """Whether torch's counter knows what its backward pass costs, as the library does."""
        odd = ("checkpoint(", "no_grad")
        return self.kinds <= COUNTED and not any(word in self.code for word in odd)

    def make(self):
        """A model, with the weights that torch's generator gives."""
        return _class_of(self.code)()


@lru_cache(4)
def _class_of(code):
    names = {"Block": Block, "checkpoint": checkpoint, "weight_norm": weight_norm}
    names |= {"torch": torch, "nn": nn, "functional": functional}
    exec(code, names)
    return names["Net"]


class _Writer:
    def __init__(self, chance):
        self.chance = chance
        self.plain = chance.random() < 0.2  # made of what can be counted
        self.made = []  # lines that make the modules, in the order of use
        self.ties = []
        self.lines = []
        self.values = ["x"]
        self.kinds = []  # of each module, with its name
        self.blocks = []
        self.late = False  # whether there is a part that takes part only later

    def value(self):
        """One of the last values, or any."""
        recent = self.values[-2:] if self.chance.random() < 0.8 else self.values
        return self.chance.choice(recent)

    def put(self, expression, silent=False):
        name = f"v{len(self.values)}"
        if silent:
            self.lines += ["with torch.no_grad():", f"    {name} = {expression}"]
        else:
            self.lines.append(f"{name} = {expression}")
        self.values.append(name)

    def add(self):
        """One more value."""
        number = self.chance.random()
        if number < 0.03 and not self.late and not self.plain:
            self.late = True
            self.made.append("self.late_part = nn.Linear(6, 6)")
            self.put("{v} + self.late_part({v}) if self.late else {v}".format(v=self.value()))
        elif number < 0.15:
            self.put(self.chance.choice(JOINS).format(v=self.value(), w=self.value()))
        elif number < 0.3 and self.kinds:
            self.call(*self.chance.choice(self.kinds))
        elif number < 0.55:
            self.add_block()
        else:
            kind = self.chance.choice([k for k in LAYERS if not self.plain or k in COUNTED])
            self.kinds.append((kind, f"self.m{len(self.made)}"))
            self.made.append(f"{self.kinds[-1][1]} = {LAYERS[kind][0]}")
            self.tie(kind)
            self.call(*self.kinds[-1], silent=self.chance.random() < 0.04)

    def call(self, kind, module, silent=False):
        form = LAYERS[kind][1] if kind in LAYERS else "{m}({v})"
        again = kind in ("checkpointed", "linear") and not self.plain
        if again and self.chance.random() < 0.3:
            form = "checkpoint({m}, {v}, use_reentrant=False)"
        self.put(form.format(m=module, v=self.value(), w=self.value()), silent)

    def add_block(self):
        module = f"self.blocks[{len(self.blocks)}]"
        kind = self.chance.choice(("block", "block", "checkpointed"))
        self.blocks.append(f"Block({self.chance.choice(BLOCKS)!r})")
        self.kinds.append((kind, module))
        self.call(kind, module)

    def tie(self, kind):
        """Now and then to a matrix of before, as one object or as one memory."""
        *before, (_, new) = [one for one in self.kinds if one[0] in SQUARE] or [("", "")]
        if kind in SQUARE and before and self.chance.random() < 0.3:
            old = self.chance.choice(before)[1]
            way = "{}.weight" if self.chance.random() < 0.8 else "nn.Parameter({}.weight.detach())"
            self.ties.append(f"{new}.weight = {way.format(old)}")

    def heads(self):
        """The outputs' expressions."""
        outputs = []
        for number in range(self.chance.choice((1, 1, 1, 2, 3))):
            source = self.values[-1] if number == 0 else self.value()
            self.made.append(f"self.head{number} = nn.Linear(6, 5)")
            outputs.append(f"self.head{number}({source})")
            embeddings = [name for kind, name in self.kinds if kind == "embedding"]
            if embeddings and self.chance.random() < 0.4:
                tied = self.chance.choice(embeddings)
                self.ties.append(f"self.head{number}.weight = {tied}.weight")
        return outputs

    def frozen(self):
        """Lines that freeze some parts."""
        names = [name for _, name in self.kinds]
        chosen = [name for name in names if self.chance.random() < 0.1]
        return [f"{name}.requires_grad_(False)" for name in chosen]


def random_network(seed):
    """The network of a seed."""
    writer = _Writer(random.Random(f"network {seed}"))
    chance = writer.chance
    for _ in range(chance.randint(3, 9)):
        writer.add()
    outputs = writer.heads()
    heads = len(outputs)
    trunk = None
    if chance.random() < 0.3:
        trunk = len(outputs)
        outputs.append(writer.values[-1])
    if chance.random() < 0.2:
        writer.made.append("self.idle = nn.Linear(3, 3)")
    used = tuple(n for n in range(heads) if n == 0 or chance.random() < 0.7)
    if trunk is not None and trunk > heads - 1 and chance.random() < 0.5:
        used += (trunk,)
    if writer.blocks:
        writer.made.append(f"self.blocks = nn.ModuleList([{', '.join(writer.blocks)}])")
    chance.shuffle(writer.made)  # the order of registration says nothing
    made = ["super().__init__()", "self.late = False", *writer.made, *writer.ties, *writer.frozen()]
    code = (
        "class Net(nn.Module):\n    def __init__(self):\n"
        + indent("\n".join(made), " " * 8)
        + "\n\n    def forward(self, x, tokens):\n"
        + indent("\n".join([*writer.lines, f"return [{', '.join(outputs)}]"]), " " * 8)
        + "\n"
    )
    kinds = {kind for kind, _ in writer.kinds}
    kinds |= {"tied"} if writer.ties else set()
    kinds |= {"late"} if writer.late else set()
    return Network(code, used, trunk, frozenset(kinds))
