"""The blocks of docs/recipes.md, and what they take for the reader's own."""

import copy
import re
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn

import layerdropback
from attached import assert_same_weights, dropped_names, flags
from layerdropback import LayerDropBack
from twins import ALWAYS
from zoo import Skip

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
CLASSES, SAMPLES, BATCH = 3, 21, 3


def blocks(language="python"):
    """By the heading that they stand under."""
    found = {}
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        for block in re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            assert heading not in found, "one block under each heading"
            found[heading] = block
    return found


class ScheduleFree(torch.optim.Optimizer):
    """Gradient descent with an average in the place of a schedule.

    While it trains the weights lie between the average and the sequence of steps; ``eval`` puts the
    average in their place.
    """

    def __init__(self, parameters, lr, between=0.9):
        super().__init__(parameters, {"lr": lr, "between": between, "count": 0, "train": False})

    def _exchange(self, trains):
        for group in self.param_groups:
            if group["train"] == trains:
                continue
            group["train"] = trains
            share = 1 - group["between"] if trains else 1 - 1 / group["between"]
            for parameter in group["params"]:
                if parameter in self.state:
                    with torch.no_grad():
                        parameter.lerp_(self.state[parameter]["steps"], share)

    def train(self):
        self._exchange(True)

    def eval(self):
        self._exchange(False)

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            assert group["train"]
            group["count"] += 1
            share, between = 1 / group["count"], group["between"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                steps = state.setdefault("steps", parameter.clone())
                parameter.lerp_(steps, share)
                parameter.sub_(parameter.grad, alpha=group["lr"] * (1 - between * (1 - share)))
                steps.sub_(parameter.grad, alpha=group["lr"])


class Net(nn.Module):
    """Residual blocks and a head; every layer gets a gradient that is not zero."""

    def __init__(self, outputs=CLASSES):
        super().__init__()
        parts = (nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(5))
        self.blocks = nn.Sequential(*map(Skip, parts))
        self.head = nn.Linear(8, outputs)

    def forward(self, x):
        return self.head(self.blocks(x))


def yours(heading):
    """The names of a block; always the same weights, data and random numbers."""
    torch.manual_seed(5)
    data = torch.utils.data.TensorDataset(
        torch.randn(SAMPLES, 8), torch.randint(CLASSES, (SAMPLES,))
    )
    model = Net(1 if heading == "Gradient penalty" else CLASSES)
    names = {name: getattr(layerdropback, name) for name in layerdropback.__all__}
    names |= {"torch": torch, "nn": nn, "device": "cpu", "model": model}
    names |= {"critic": model, "student": model, "teacher": copy.deepcopy(Net())}
    names |= {"generator": nn.Linear(8, 8), "criterion": nn.functional.cross_entropy}
    names["optimizer"] = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    names["loader"] = torch.utils.data.DataLoader(data, batch_size=BATCH)
    names["schedulefree"] = SimpleNamespace(SGDScheduleFree=ScheduleFree)
    return names


class Plain:
    """In the place of LayerDropBack: nothing of it."""

    def __init__(self, model, optimizer, strategy):
        self.model = model

    def epoch(self, loader, epoch):
        return loader

    def state_dict(self):
        return {}

    load_state_dict = None  # Accelerate looks for it


def state_of(optimizers):
    optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
    return [optimizer.state_dict() for optimizer in optimizers]


def watched(strategy, found):
    """A LayerDropBack that drops in every epoch, and writes down what each batch moved."""

    class Watched(LayerDropBack):
        def __init__(self, model, optimizer, _):
            super().__init__(model, optimizer, strategy, ALWAYS, verify=True, seed=2, lr_scale=2.0)

        def epoch(self, loader, epoch):
            inner = super().epoch(loader, epoch)

            def batches():
                for batch in inner:
                    steps, names = self.stats()["step"], dropped_names(self)
                    before = {n: p.detach().clone() for n, p in self.model.named_parameters()}
                    yield batch
                    still = {
                        n for n, p in self.model.named_parameters() if torch.equal(before[n], p)
                    }
                    stepped = self.stats()["step"] > steps
                    found.append((names if stepped else set(before), still))

            return batches()

    return Watched


def run(heading, **changes):
    names = yours(heading) | changes
    exec(blocks()[heading], names)
    return names


def check_drops(heading, strategy, idle=frozenset()):
    """It drops, and what is dropped in a step stands still; else only what is idle does."""
    found = []
    names = run(heading, LayerDropBack=watched(strategy, found))
    stats = names["ldb"].stats()
    assert stats["drop_steps"] > 0
    assert stats["share_dropped"] > 0
    assert any(dropped for dropped, _ in found)
    assert [still - idle for _, still in found] == [dropped - idle for dropped, _ in found]
    assert all(flags(names["ldb"].model).values())


def check_rate_0(heading, strategy):
    """With a strategy that drops nothing it is the block without LayerDropBack."""
    plain = run(heading, LayerDropBack=Plain)
    mine = run(heading, LayerDropBack=watched(strategy, []))
    assert mine["ldb"].stats()["drop_steps"] == 0
    assert_same_weights(plain["ldb"].model, mine["ldb"].model)
    states = [state_of(names.get("optimizers", names["optimizer"])) for names in (plain, mine)]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    if "average" in mine:
        assert_same_weights(plain["average"], mine["average"])
    assert not torch.equal(mine["ldb"].model.head.weight, yours(heading)["model"].head.weight)
