"""One end of `slow_link`: what is measured there.

Started by it as ``python -m benchmarks.network.slow_link_worker RANK FOLDER``. The folder holds the
plan and the images; what was measured is written there.
"""

import json
import statistics
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..common.timing import rotated
from .link import begin_worker, end_worker
from .slow_link_arms import PER_TURN, SHORTER, Arm, arms_of
from .slow_link_run import Run
from .slow_link_timing import link_rate, timed
from .slow_link_tuning import tune


@dataclass
class Found:
    """What the workers found, all of it."""

    numbers: int = 0  # in the model
    rate: float = 0.0  # of the link, in Mbit/s
    before: float | None = None  # accuracy of the weights to begin with, on their own test images
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
        images: by split; those of "before" and "before_test" are trained on to begin with.
        folder: for what one worker tells the other.
    """

    def __init__(
        self,
        rank: int,
        plan: dict[str, Any],
        images: dict[str, tuple[Tensor, Tensor]],
        folder: Path,
    ):
        self.rank, self.plan, self.images = rank, plan, images
        self.arms = arms_of(plan["task"])
        self.found = Found()
        self.weights = self.begin(folder / "before.pt") if "before" in images else None

    def begin(self, path: Path) -> dict[str, Tensor]:
        """Weights of all but the head, trained on other classes by one of the workers."""
        if self.rank == 0:
            images = {"train": self.images["before"]}
            run = Run(self.arms.own[0], self.plan, images, 0, None)
            steps = self.plan["before_epochs"] * run.epoch_steps
            run.train(steps, self.plan["before_lr"], lambda done: None)
            test = self.images["before_test"]
            self.found.before = 100 * run.right(test) / len(test[1])
            torch.save(run.model[:-1].state_dict(), path)  # type: ignore[index]
        dist.barrier()
        weights: dict[str, Tensor] = torch.load(path, weights_only=True)
        return weights

    def go(self) -> Found:
        """Time the steps, tune the learning rates, train."""
        model = self.run(self.arms.own[0], 0, None).model
        self.found.numbers = sum(parameter.numel() for parameter in model.parameters())
        self.found.rate = link_rate()
        self.time_steps()
        first = self.plan["first_seed"]
        # Plain training gets the time that a method has taken: so the methods come first.
        for arms, plan_steps in (
            (self.arms.own, self.plan_own),
            (self.arms.given, self.plan_given),
        ):
            plan_steps()
            tuned = self.found.tuned
            self.found.trials += tune(arms, self.plan, self.rank, self.trial, tuned)
            for seed in range(first, first + self.plan["seeds"]):
                # Each seed in another order: what a machine does in between hits any arm.
                for arm in rotated(arms, seed):
                    self.train(arm, seed)
        return self.found

    def run(self, arm: Arm, seed: int, rank: int | None) -> Run:
        """A model to train."""
        return Run(arm, self.plan, self.images, seed, rank, self.weights)

    def time_steps(self) -> None:
        """Full and drop steps of arms whose steps are alike, in turns."""
        arms = [arm for arm in self.arms.own if arm.alike]
        runs = {}
        for arm in arms:
            both = arm.dropping and {**arm.dropping, "every": 2, "start": 1}
            runs[arm.name] = self.run(replace(arm, dropping=both), 0, self.rank)
            self.found.times[arm.name] = {"full": [], "drop": []}
            self.found.sent[arm.name] = {"full": [], "drop": []}
        for turn in range(-1, self.plan["rounds"]):  # the first one is to warm up
            for arm in arms:
                run = runs[arm.name]
                for epoch, kind in enumerate(("full", "drop") if run.ldb else ("full",)):
                    batches = run.batches(max(0, 2 * turn + epoch))[:PER_TURN]
                    ours = batches if run.ldb is None else run.ldb.epoch(batches, epoch)
                    for seconds, sent in timed(run, ours):
                        if turn >= 0:
                            self.found.times[arm.name][kind].append(seconds)
                            self.found.sent[arm.name][kind].append(sent)

    def plan_own(self) -> None:
        """Steps of the arms that train for the plan's epochs."""
        images = len(self.images["train"][1])
        for arm in self.arms.own:
            epoch_steps = images // round(self.plan["batch"] * arm.batch)
            self.found.steps[arm.name] = self.plan["epochs"] * epoch_steps

    def plan_given(self) -> None:
        """Steps of plain training in the time that the methods took."""
        steps = self.found.steps
        for arm in self.arms.given:
            if arm.time_of is not None:
                share = self.seconds(arm.time_of) / self.seconds(arm.plain)
                steps[arm.name] = max(1, round(steps[arm.plain] * share))
        for arm in self.arms.given:
            if arm.shortest:
                others = [a for a in self.arms.given if a.fp16 == arm.fp16 and a.time_of]
                least = min(steps[other.name] for other in others)
                steps[arm.name] = max(1, round(SHORTER * least))
        told = [steps]
        dist.broadcast_object_list(told)  # the workers' clocks differ a little
        self.found.steps = told[0]

    def seconds(self, arm: str) -> float:
        """What a run of an arm took, on average."""
        took = [run["looks"][-1]["seconds"] for run in self.found.runs if run["arm"] == arm]
        return statistics.fmean(took)

    def trial(self, arm: Arm, rate: float, seed: int) -> dict[str, Any]:
        """One run in this process alone."""
        run = self.run(arm, seed, None)
        run.train(self.found.steps[arm.name], rate, lambda done: None)
        accuracy = 100 * run.right(self.images["held"]) / len(self.images["held"][1])
        return {"arm": arm.name, "lr": rate, "seed": seed, "accuracy": accuracy}

    def train(self, arm: Arm, seed: int) -> None:
        """One run over the link; the clock stands still while it is tested."""
        run = self.run(arm, seed, self.rank)
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


def main() -> None:
    rank, folder = begin_worker()
    plan = json.loads((folder / "plan.json").read_text())
    images = torch.load(folder / "images.pt", weights_only=True)
    found = Worker(rank, plan, images, folder).go()
    if rank == 0:
        (folder / "found.json").write_text(json.dumps(vars(found)))
    end_worker()


if __name__ == "__main__":
    main()
