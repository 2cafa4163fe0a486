"""The model of `slow_link`, and one training of it."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from layerdropback import LayerDropBack
from layerdropback.training.dropping import Dropping

from .slow_link_arms import Arm

WARM_UP = 0.05  # share of a run in which the learning rate rises
LOOKS = 10  # at the test images, in a run


class Block(nn.Module):
    """A residual block of two linear layers."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape ``(images, width)``, in and out."""
        return inputs + self.second(functional.gelu(self.first(self.norm(inputs))))


def network(images: Tensor, classes: int, width: int, blocks: int) -> nn.Sequential:
    """Two convolutions and residual linear blocks, which have nearly all of the parameters.

    It has no batch statistics, so that two workers compute what one does on the whole batch.
    """
    channels, patch = images.shape[1], images.shape[2] // 8
    return nn.Sequential(
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
        before: weights of all but the head to begin with.
    """

    def __init__(
        self,
        arm: Arm,
        plan: dict[str, Any],
        images: dict[str, tuple[Tensor, Tensor]],
        seed: int,
        rank: int | None,
        before: Mapping[str, Tensor] | None = None,
    ):
        self.arm = arm
        self._pixels, self._labels = images["train"]
        self._seed, self._rank = seed, rank
        self._batch = round(plan["batch"] * arm.batch)
        torch.manual_seed(seed)
        classes = int(self._labels.max()) + 1
        alone = network(self._pixels, classes, plan["width"], plan["blocks"])
        if before is not None:
            alone[:-1].load_state_dict(before)
        if arm.frozen:
            for block in alone:
                block.requires_grad_(not isinstance(block, Block))
        self.model: nn.Module = alone
        unused = arm.dropping is not None
        if rank is not None:
            self.model = DistributedDataParallel(alone, find_unused_parameters=unused)
        self.optimizer = torch.optim.SGD(
            alone.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        hook = fp16_compress_hook if arm.fp16 else None
        self.ldb = None
        if arm.dropping is not None:
            settings = Dropping(**arm.dropping).settings(seed=seed)
            strategy, schedule = settings.strategy, settings.schedule
            self.ldb = LayerDropBack(
                self.model,
                self.optimizer,
                strategy,
                schedule,
                lr_scale=settings.lr_scale,
                seed=seed,
            )
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
        model = self.model
        if isinstance(model, DistributedDataParallel):
            model = model.module  # its wrapper would send buffers
        first, by = (0, 1) if self._rank is None else (self._rank, 2)
        pixels, labels = (part[first::by] for part in split)
        with torch.no_grad():
            return sum(
                int((model(images).argmax(1) == truth).sum())
                for images, truth in zip(pixels.split(500), labels.split(500), strict=True)
            )
