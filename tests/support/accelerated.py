"""Training with Accelerate on the CPU: the zoo's models in the loop of Accelerate's own docs."""

import contextlib
import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch.utils.data import DataLoader, TensorDataset

from attached import dropping
from language import bert, gpt2, llama, lora, tokens
from layerdropback import LayerDropBack
from zoo import ZOO, Entry, token_loss


def causal(build, head):
    settings = {"select": lambda output: output.logits, "loss": token_loss, "target": tokens}
    return Entry(build, tokens, head, **settings)


LANGUAGE = {
    "bert": Entry(bert, tokens, "classifier", select=lambda output: output.logits),
    "gpt2": causal(gpt2, "transformer.wte+lm_head"),
    "llama": causal(llama, "lm_head"),
    # No pair begins at zero, so that both get a gradient in the first step.
    "lora": causal(partial(lora, init_lora_weights=False), ""),
}
MODELS = ZOO | LANGUAGE
SAMPLES, BATCH, WINDOW = 44, 4, 3  # eleven batches, so that the last window has only two


@contextlib.contextmanager
def accelerator(**settings):
    """An accelerator of its own, although Accelerate keeps one state for the whole process."""
    forget()
    try:
        yield Accelerator(cpu=True, **settings)
    finally:
        forget()


def forget():
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def data_of(entry, samples=SAMPLES):
    torch.manual_seed(2)
    pairs = [(entry.input(), entry.target()) for _ in range(-(-samples // 4))]
    return TensorDataset(*(torch.cat(parts)[:samples] for parts in zip(*pairs, strict=True)))


def loader_of(entry, **settings):
    """In an order that its own generator draws; Accelerate saves and restores that generator."""
    order = torch.Generator().manual_seed(3)
    settings = {"batch_size": BATCH, "shuffle": True, "generator": order} | settings
    return DataLoader(data_of(entry), **settings)


@dataclass
class Run:
    """What a loop trains, made and prepared.

    Attributes:
        ldb: None in a plain run.
        masks: of each optimizer step so far; None for a full one.
    """

    entry: Any
    accelerator: Any
    model: Any
    optimizer: Any
    loader: Any
    scheduler: Any
    ldb: Any
    masks: list

    def epochs(self, numbers, first=0, stop=None):
        """Train some epochs; the first one from a batch on, the last one up to another."""
        for epoch in numbers:
            loader, start = self.loader, first if epoch == numbers[0] else 0
            if start:
                loader = self.accelerator.skip_first_batches(loader, start)
            batches = loader if self.ldb is None else self.ldb.epoch(loader, epoch)
            end = stop if epoch == numbers[-1] else None
            for batch in itertools.islice(batches, None if end is None else end - start):
                self.batch(batch)

    def batch(self, batch):
        """One pass, and a step where a window ends."""
        accelerator, entry = self.accelerator, self.entry
        with accelerator.accumulate(self.model):
            loss = entry.loss(entry.select(self.model(batch[0])), batch[1])
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
                mask = None if self.ldb is None else self.ldb.mask
                self.masks.append(None if mask is None else mask.tolist())
            self.optimizer.step()
            self.scheduler.step()
            self.optimizer.zero_grad()


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def make(accelerator, name="vit", strategy=None, attach="after", kind=adamw, **settings):
    """Model, optimizer, loader and scheduler, prepared.

    Args:
        accelerator: prepares them.
        name: of a model in `MODELS`.
        strategy: or the name of one, see `attached.dropping`; None for a plain run.
        attach: whether LayerDropBack is made ``"before"`` or ``"after"`` they are prepared.
        kind: makes the optimizer of a model.
        **settings: of LayerDropBack.
    """
    entry = MODELS[name]
    model = entry.model()
    optimizer = kind(model)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 5)
    chosen = dropping(strategy) if isinstance(strategy, str) else strategy
    settings = {"verify": True, "seed": 4} | settings
    ldb = None
    if chosen is not None and attach == "before":
        ldb = LayerDropBack(model, optimizer, chosen, **settings)
    prepared = accelerator.prepare(model, optimizer, loader_of(entry), scheduler)
    if chosen is not None and attach == "after":
        ldb = LayerDropBack(prepared[0], prepared[1], chosen, **settings)
    return Run(entry, accelerator, *prepared, ldb, [])
