"""One end of `slow_link.py`: the model, the ways to train it, and what is measured of them.

Started by that script as ``slow_link_worker.py RANK FOLDER``. The folder holds the plan and the
images; what was measured is written there.
"""

import json
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.distributed as dist
from link import begin_worker
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from layerdropback import LayerDropBack

WARM_UP = 0.05  # share of a run in which the learning rate rises
PER_TURN = 3  # steps of a kind in a row, when steps are timed
LOOKS = 10  # at the test images, in a run
WIDER = 4  # learning rates that a grid gets more of, at most
TUNING_SEED = 1_000_000


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
        batch: as a multiple of the plan's.
        dropping: settings of LayerDropBack; None: without it.
        fp16: gradients are sent in half precision.
        time_of: the arm whose wall time this one gets; None: it has the plan's epochs.
        tuned_as: the arm whose learning rate it takes, as only what is sent differs.
    """

    name: str
    batch: float = 1
    dropping: dict[str, Any] | None = None
    fp16: bool = False
    time_of: str | None = None
    tuned_as: str | None = None

    @property
    def steps_as(self) -> str:
        """The arm whose steps take as long."""
        return "plain-fp16" if self.fp16 else "plain"


EVERY_EPOCH = {"every": 1, "start": 0, "lr_scale": 1}
METHODS = [
    Arm("uniform.5", dropping={"strategy": "uniform", **EVERY_EPOCH}),
    # The paper's: every second epoch, with twice the learning rate.
    Arm("uniform.5-paper", dropping={"strategy": "uniform", "every": 2, "lr_scale": 2}),
    Arm("truncate.5", dropping={"strategy": "truncate", **EVERY_EPOCH}),
    Arm(
        "uniform.5-fp16",
        dropping={"strategy": "uniform", **EVERY_EPOCH},
        fp16=True,
        tuned_as="uniform.5",
    ),
]
# What anybody would try first to send less.
NEIGHBOURS = [Arm("plain-double-batch", batch=2), Arm("plain-fp16", fp16=True, tuned_as="plain")]
ARMS = [
    Arm("plain"),
    Arm("plain-half-batch", batch=0.5),
    *NEIGHBOURS,
    *METHODS,
    *(Arm(f"plain{'-fp16' * m.fp16}@{m.name}", fp16=m.fp16, time_of=m.name) for m in METHODS),
]
# Steps of the paper's arm are those of `uniform.5` and plain ones in turn.
TIMED = [arm for arm in ARMS if arm.time_of is None and arm.name != "uniform.5-paper"]


class Block(nn.Module):
    """A residual block of two linear layers."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape ``(images, width)``, in and out."""
        return inputs + self.second(functional.gelu(self.first(self.norm(inputs))))


class Network(nn.Sequential):
    """Two convolutions and residual linear blocks, which have nearly all of the parameters.

    It has no batch statistics, so that two workers compute what one does on the whole batch.
    """

    def __init__(self, images: Tensor, classes: int, width: int, blocks: int):
        channels, patch = images.shape[1], images.shape[2] // 8
        super().__init__(
            nn.Conv2d(channels, 16, patch, stride=patch),
            nn.GELU(),
            nn.Conv2d(16, 48, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(48 * 16, width),
            *(Block(width) for _ in range(blocks)),
            nn.LayerNorm(width),
            nn.Linear(width, classes),
        )


class Run:
    """A model in training.

    Args:
        arm: the way.
        plan: of the whole script.
        images: by split: pixels and labels.
        seed: of the weights, the batches and the masks.
        rank: None: one process that takes whole batches.
    """

    def __init__(
        self,
        arm: Arm,
        plan: dict[str, Any],
        images: dict[str, tuple[Tensor, Tensor]],
        seed: int,
        rank: int | None,
    ):
        self.arm = arm
        self._pixels, self._labels = images["train"]
        self._seed, self._rank = seed, rank
        self._batch = round(plan["batch"] * arm.batch)
        torch.manual_seed(seed)
        classes = int(self._labels.max()) + 1
        network = Network(self._pixels, classes, plan["width"], plan["blocks"])
        self.model: nn.Module = network
        unused = arm.dropping is not None
        if rank is not None:
            self.model = DistributedDataParallel(network, find_unused_parameters=unused)
        self.optimizer = torch.optim.SGD(
            network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        hook = fp16_compress_hook if arm.fp16 else None
        self.ldb = None
        if arm.dropping is not None:
            self.ldb = LayerDropBack(self.model, self.optimizer, 0.5, seed=seed, **arm.dropping)
            if rank is not None:
                self.ldb.register_comm_hook(hook)
        elif isinstance(self.model, DistributedDataParallel) and hook is not None:
            self.model.register_comm_hook(None, hook)

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch; what is left over of the images is left out."""
        return len(self._labels) // self._batch

    def batches(self, epoch: int) -> list[Tensor]:
        """Numbers of the images of each batch; of a worker's share of them."""
        generator = torch.Generator().manual_seed(1000 * self._seed + epoch)
        order = torch.randperm(len(self._labels), generator=generator)
        whole = order[: self.epoch_steps * self._batch].split(self._batch)
        return list(whole) if self._rank is None else [b[self._rank :: 2] for b in whole]

    def step(self, batch: Tensor) -> None:
        """Train on a batch."""
        loss = functional.cross_entropy(self.model(self._pixels[batch]), self._labels[batch])
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def train(self, steps: int, rate: float, look: Callable[[int], None]) -> None:
        """Train for so many steps, in which the learning rate rises a little and comes to zero.

        At the end of each tenth of them `look` is called with their number.
        """
        rise = max(1, round(WARM_UP * steps))

        def factor(step: int) -> float:
            falling = (step - rise) / max(1, steps - rise)
            return min((step + 1) / rise, (1 + math.cos(math.pi * max(0.0, falling))) / 2)

        for group in self.optimizer.param_groups:
            group["lr"] = rate
        schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, factor)
        looks = {round(steps * tenth / LOOKS) for tenth in range(1, LOOKS + 1)}
        done = epoch = 0
        while done < steps:
            batches = self.batches(epoch)[: steps - done]
            for batch in batches if self.ldb is None else self.ldb.epoch(batches, epoch):
                self.step(batch)
                schedule.step()
                done += 1
                if done in looks:
                    look(done)
            epoch += 1

    def right(self, split: tuple[Tensor, Tensor]) -> int:
        """How many images of a split, of this worker's half of it, are classified right."""
        network = self.model
        if isinstance(network, DistributedDataParallel):
            network = network.module  # its wrapper would send buffers
        first, by = (0, 1) if self._rank is None else (self._rank, 2)
        pixels, labels = (part[first::by] for part in split)
        with torch.no_grad():
            return sum(
                int((network(images).argmax(1) == truth).sum())
                for images, truth in zip(pixels.split(500), labels.split(500), strict=True)
            )


@dataclass
class Found:
    """What the workers found, all of it."""

    numbers: int = 0  # in the model
    rate: float = 0.0  # of the link, in Mbit/s
    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    sent: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    trials: list[dict[str, Any]] = field(default_factory=list)
    tuned: dict[str, float] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)


class Worker:
    """Measures everything; both workers do the same in the same order.

    Args:
        rank: 0 or 1.
        plan: of the script.
        images: by split.
    """

    def __init__(self, rank: int, plan: dict[str, Any], images: dict[str, tuple[Tensor, Tensor]]):
        self.rank, self.plan, self.images = rank, plan, images
        self.found = Found()

    def go(self) -> Found:
        """Time the steps, tune the learning rates, train."""
        model = Run(ARMS[0], self.plan, self.images, 0, None).model
        self.found.numbers = sum(parameter.numel() for parameter in model.parameters())
        self.found.rate = link_rate()
        self.time_steps()
        self.plan_steps()
        self.tune()
        for seed in range(self.plan["first_seed"], self.plan["first_seed"] + self.plan["seeds"]):
            # Each seed in another order: what a machine does in between hits any arm.
            turn = seed % len(ARMS)
            for arm in [*ARMS[turn:], *ARMS[:turn]]:
                self.train(arm, seed)
        return self.found

    def time_steps(self) -> None:
        """Full and drop steps of every arm, in turns."""
        runs = {}
        for arm in TIMED:
            both = arm.dropping and {**arm.dropping, "every": 2, "start": 1}
            runs[arm.name] = Run(replace(arm, dropping=both), self.plan, self.images, 0, self.rank)
            self.found.times[arm.name] = {"full": [], "drop": []}
            self.found.sent[arm.name] = {"full": [], "drop": []}
        for turn in range(-1, self.plan["rounds"]):  # the first one is to warm up
            for arm in TIMED:
                run = runs[arm.name]
                for epoch, kind in enumerate(("full", "drop") if run.ldb else ("full",)):
                    batches = run.batches(max(0, 2 * turn + epoch))[:PER_TURN]
                    ours = batches if run.ldb is None else run.ldb.epoch(batches, epoch)
                    for seconds, sent in timed(run, ours):
                        if turn >= 0:
                            self.found.times[arm.name][kind].append(seconds)
                            self.found.sent[arm.name][kind].append(sent)

    def plan_steps(self) -> None:
        """How many steps each arm makes; those that get another one's time, by the steps' means."""
        plan, found = self.plan, self.found
        images = len(self.images["train"][1])
        for arm in ARMS:
            if arm.time_of is None:
                epoch_steps = images // round(plan["batch"] * arm.batch)
                found.steps[arm.name] = plan["epochs"] * epoch_steps
        of = {arm.name: arm for arm in METHODS}
        epochs = plan["epochs"]
        for arm in ARMS:
            if arm.time_of is None:
                continue
            method = of[arm.time_of]
            assert method.dropping is not None
            timed_as = method.name if method.name in found.times else "uniform.5"
            kinds = {k: statistics.fmean(t) for k, t in found.times[timed_as].items()}
            start, every = method.dropping.get("start", 1), method.dropping["every"]
            share = len(range(start, epochs, every)) / epochs
            mean = share * kinds["drop"] + (1 - share) * kinds["full"]
            plain = statistics.fmean(found.times[arm.steps_as]["full"])
            found.steps[arm.name] = max(1, round(found.steps[method.name] * mean / plain))
        steps = [found.steps]
        dist.broadcast_object_list(steps)  # the workers' clocks differ a little
        found.steps = steps[0]

    def tune(self) -> None:
        """Choose learning rates on the images held out.

        A whole batch in one process gives what two workers get of its halves, without the link:
        each worker makes half of the trials.
        """
        arms = [arm for arm in ARMS if arm.tuned_as is None]
        grids = {arm.name: list(self.plan["grid"]) for arm in arms}
        missing = [(arm, rate) for arm in arms for rate in grids[arm.name]]
        while missing:
            seeds = range(TUNING_SEED, TUNING_SEED + self.plan["tune_seeds"])
            trials = [(arm, rate, seed) for arm, rate in missing for seed in seeds]
            made = [self.trial(*trial) for trial in trials[self.rank :: 2]]
            gathered: list[Any] = [None, None]
            dist.all_gather_object(gathered, made)
            self.found.trials += [trial for theirs in gathered for trial in theirs]
            missing = []
            for arm in arms:
                rates = grids[arm.name]
                best = self.found.tuned[arm.name] = self.best(arm.name)
                wider = {rates[0]: rates[0] ** 2 / rates[1], rates[-1]: rates[-1] ** 2 / rates[-2]}
                if best in wider and len(rates) < len(self.plan["grid"]) + WIDER:
                    missing.append((arm, wider[best]))
                    grids[arm.name] = sorted([*rates, wider[best]])
        for arm in ARMS:
            if arm.tuned_as is not None:
                self.found.tuned[arm.name] = self.found.tuned[arm.tuned_as]

    def trial(self, arm: Arm, rate: float, seed: int) -> dict[str, Any]:
        """One run in this process alone."""
        run = Run(arm, self.plan, self.images, seed, None)
        run.train(self.found.steps[arm.name], rate, lambda done: None)
        accuracy = 100 * run.right(self.images["held"]) / len(self.images["held"][1])
        return {"arm": arm.name, "lr": rate, "seed": seed, "accuracy": accuracy}

    def best(self, arm: str) -> float:
        """The learning rate with the best mean accuracy."""
        scores: dict[float, list[float]] = {}
        for trial in self.found.trials:
            if trial["arm"] == arm:
                scores.setdefault(trial["lr"], []).append(trial["accuracy"])
        return max(scores, key=lambda rate: statistics.fmean(scores[rate]))

    def train(self, arm: Arm, seed: int) -> None:
        """One run over the link; the clock stands still while it is tested."""
        run = Run(arm, self.plan, self.images, seed, self.rank)
        looks: list[dict[str, Any]] = []
        spent = 0.0

        def test(done: int) -> None:
            nonlocal spent, since
            dist.barrier()
            spent += time.perf_counter() - since
            right = torch.tensor(run.right(self.images["test"]))
            dist.all_reduce(right)
            accuracy = 100 * int(right) / len(self.images["test"][1])
            looks.append({"steps": done, "seconds": spent, "accuracy": accuracy})
            dist.barrier()
            since = time.perf_counter()

        dist.barrier()
        since = time.perf_counter()
        run.train(self.found.steps[arm.name], self.found.tuned[arm.name], test)
        sent = None if run.ldb is None else run.ldb.stats()["gradient_bytes"]
        self.found.runs.append({"arm": arm.name, "seed": seed, "sent": sent, "looks": looks})
        if self.rank == 0:
            last = looks[-1]
            text = f"{arm.name} seed {seed}: {last['accuracy']:.2f} % in {last['seconds']:.1f} s"
            print(text, flush=True)


def timed(run: Run, batches: Iterable[Tensor]) -> Iterator[tuple[float, int]]:
    """Seconds of each step, and the bytes of gradients that it sent.

    A step ends when its gradients are there, so that each one pays for what it sends.
    """
    bytes_each = 2 if run.arm.fp16 else 4
    everything = sum(parameter.numel() for parameter in run.model.parameters())
    dist.barrier()
    for batch in batches:
        before = run.ldb.stats()["gradient_bytes"] if run.ldb else 0
        start = time.perf_counter()
        run.step(batch)
        seconds = time.perf_counter() - start
        given = run.ldb.stats()["gradient_bytes"] - before if run.ldb else 4 * everything
        yield seconds, given * bytes_each // 4


def link_rate() -> float:
    """Megabits per second that a big all-reduce sends."""
    numbers = torch.zeros(2**20)
    dist.all_reduce(numbers)
    start = time.perf_counter()
    for _ in range(3):
        dist.all_reduce(numbers)
    return 3 * 8 * numbers.nbytes / 1e6 / (time.perf_counter() - start)


def main() -> None:
    rank, folder = begin_worker()
    plan = json.loads((folder / "plan.json").read_text())
    images = torch.load(folder / "images.pt", weights_only=True)
    found = Worker(rank, plan, images).go()
    if rank == 0:
        (folder / "found.json").write_text(json.dumps(vars(found)))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
