"""A process of `freed_memory`: times steps, memory kept or as the C library has it.

Started by it as ``python -m benchmarks.steps.freed_memory_worker SUBJECT KEPT ROUNDS STEPS``.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import timm
import torch
import transformers
from torch import nn

from layerdropback import LayerDropBack
from layerdropback.runs.allocator import freed_memory_is_kept, keep_freed_memory

from ..common.facts import facts_of

ARMS = ("plain", "preset")
CLASSES, BATCH = 10, 32
Loss = Callable[[], torch.Tensor]


def efficientnet() -> tuple[nn.Module, Loss]:
    """As it is fine-tuned in the cards: 96 pixels, channels last."""
    model = timm.create_model("tf_efficientnet_lite0", num_classes=CLASSES)
    model = model.to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, 3, 96, 96).contiguous(memory_format=torch.channels_last)
    return model, lambda: classified(model(images))


def minilm() -> tuple[nn.Module, Loss]:
    """Of MiniLM's size, with sentences of 24 tokens, in bf16 as in the cards."""
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12}
    config = transformers.BertConfig(intermediate_size=1536, num_labels=CLASSES, **sizes)
    model = transformers.BertForSequenceClassification(config)
    tokens = torch.randint(0, config.vocab_size, (BATCH, 24))

    def loss() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return classified(model(tokens).logits.float())

    return model, loss


def vit() -> tuple[nn.Module, Loss]:
    """A small vision transformer at its own size."""
    model = timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES)
    images = torch.randn(BATCH, 3, 224, 224)
    return model, lambda: classified(model(images))


SUBJECTS = {"EfficientNet-Lite0": efficientnet, "MiniLM": minilm, "ViT-Ti": vit}


def classified(outputs: torch.Tensor) -> torch.Tensor:
    """The loss, of labels that are all the same."""
    return nn.functional.cross_entropy(outputs, torch.zeros(len(outputs), dtype=torch.long))


class Arm:
    """Plain training of a subject, or the preset's.

    Args:
        subject: its name.
        arm: of `ARMS`.
    """

    def __init__(self, subject: str, arm: str):
        torch.manual_seed(0)
        self.model, self.loss = SUBJECTS[subject]()
        self.model.train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5)
        self.ldb = None
        if arm != "plain":
            self.ldb = LayerDropBack.from_preset(self.model, self.optimizer, "finetune")

    def steps(self, count: int) -> dict[str, float]:
        """Seconds and page faults of a step, the mean over so many."""
        before, since = faults(), time.perf_counter()
        if self.ldb is None:
            self._train(count)
        else:
            with self.ldb.epoch(None, 0):
                self._train(count)
        seconds = time.perf_counter() - since
        return {"seconds": seconds / count, "faults": (faults() - before) / count}

    def _train(self, count: int) -> None:
        for _ in range(count):
            self.loss().backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.optimizer.zero_grad()


def faults() -> int:
    """Pages that the system had to find and to clear for this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def main(subject: str, kept: str, rounds: str, steps: str) -> dict[str, Any]:
    """Blocks of steps, the arms in turns, the first block of each not counted."""
    if kept == "kept":
        keep_freed_memory(torch.device("cpu"))
        if not freed_memory_is_kept():
            sys.exit("freed memory cannot be kept here: another C library, or MALLOC_ is set")
    arms = {name: Arm(subject, name) for name in ARMS}
    for arm in arms.values():
        arm.steps(int(steps))
    found = [
        {name: arm.steps(int(steps)) for name, arm in arms.items()} for _ in range(int(rounds))
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"blocks": found, "peak_mib": peak, "facts": facts_of()}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
