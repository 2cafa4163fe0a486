"""Arms, sentences and model of `blocks_text`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from layerdropback import Blocks, LayerDropBack, Schedule, Strategy, Truncate

from .sentences import read

BATCH, LONGEST, PERIOD, GROUP = 32, 64, 10, 25
EVERYWHERE = ("embedding", "head", "norm")
Samples = list[tuple[list[int], int]]


@dataclass(frozen=True)
class Arm:
    """A way to train; `rates` are the learning rates that are tried first."""

    name: str
    strategy: Strategy | None = None
    lora: bool = False
    rates: tuple[float, ...] = (1e-4, 2e-4, 4e-4)


ARMS = (
    Arm("full"),
    Arm("LISA, 2 of 6, states kept or offloaded", Blocks(2, train=EVERYWHERE)),
    Arm("LISA, 2 of 6, states released", Blocks(2, train=EVERYWHERE, state="release")),
    Arm("2 blocks, random", Blocks(2)),
    Arm("2 blocks, cyclic", Blocks(2, "cyclic")),
    Arm("2 blocks, fixed", Blocks(2, "fixed")),
    Arm("Truncate(0.5)", Truncate(0.5)),
    Arm("LoRA, r = 8, on q and v", lora=True, rates=(1e-3, 2e-3, 4e-3)),
)


class Task:
    """Sentences of some kinds, and a model folder to begin with."""

    def __init__(self, folder: Path, data: Path):
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.folder, self.tokenizer = folder, AutoTokenizer.from_pretrained(folder)
        self.train, self.test = (self._read(data / f"{name}.txt") for name in ("train", "test"))
        self.kinds = 1 + max(label for _, label in self.train)
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(0))
        cut = len(order) // 10
        self.held_out = [self.train[i] for i in order[:cut]]
        self.rest = [self.train[i] for i in order[cut:]]

    def _read(self, path: Path) -> Samples:
        texts, labels = read(path)
        tokens = self.tokenizer(texts, truncation=True, max_length=LONGEST)
        return list(zip(tokens["input_ids"], labels, strict=True))

    def batches(
        self, samples: Samples, seed: int | None
    ) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """Of similar length, padded to their longest; shuffled by a seed."""
        order = sorted(range(len(samples)), key=lambda i: len(samples[i][0]))
        if seed is not None:
            order = _grouped([len(ids) for ids, _ in samples], seed)
        starts = torch.arange(0, len(samples), BATCH)
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            starts = starts[torch.randperm(len(starts), generator=generator)]
        for start in starts.tolist():
            chosen = [samples[i] for i in order[start : start + BATCH]]
            padded = self.tokenizer.pad(
                {"input_ids": [ids for ids, _ in chosen]}, return_tensors="pt"
            )
            yield dict(padded), torch.tensor([label for _, label in chosen])

    def model(self, arm: Arm, seed: int) -> nn.Module:
        """The pretrained model with a new head."""
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(
            self.folder, num_labels=self.kinds
        )
        if arm.lora:
            model = get_peft_model(
                model,
                LoraConfig(r=8, target_modules=["query", "value"], modules_to_save=["classifier"]),
            )
        return model.train()


def _grouped(lengths: list[int], seed: int) -> list[int]:
    """A random order whose batches hold sentences of similar length.

    Sorted within sets of GROUP batches, as Hugging Face's `group_by_length` does: a batch of short
    sentences has little padding, and which sentences meet is drawn anew for each seed.
    """
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(seed)).tolist()
    size = GROUP * BATCH
    sets = (order[start : start + size] for start in range(0, len(order), size))
    return [i for one in sets for i in sorted(one, key=lengths.__getitem__)]


def loss_of(model: nn.Module, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
    """Under bf16 autocast: weights, gradients and states stay float32."""
    with torch.autocast("cpu", torch.bfloat16):
        return nn.functional.cross_entropy(model(**inputs).logits, labels)


def attach(
    arm: Arm, model: nn.Module, optimizer: torch.optim.Optimizer, seed: int
) -> LayerDropBack | None:
    """The arm's LayerDropBack; blocks change every period of steps."""
    if arm.strategy is None:
        return None
    schedule = Schedule(steps=PERIOD) if isinstance(arm.strategy, Blocks) else Schedule(1, 0)
    return LayerDropBack(model, optimizer, arm.strategy, schedule, seed=seed)
