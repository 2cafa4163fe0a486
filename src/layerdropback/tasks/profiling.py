"""``ldb profile``: from the trainer's settings to a profile of a timm model."""

import time
from dataclasses import replace
from datetime import timedelta
from typing import Self

import torch
from rich.console import Console
from torch import Tensor, nn

from ..controller import LayerDropBack
from ..errors import UsageError, explain
from ..lab.profiling.bench import Bench
from ..lab.profiling.profile import Profile, fill
from ..lab.profiling.report import parts, write_files
from ..lab.report.page import say
from ..runs.folder import writable
from ..runs.machine import command_line, find_device, is_out_of_memory, measured_on
from ..training.compiling import compile_blocks
from ..training.config import TrainConfig
from ..training.model_args import parse_model_args
from ..training.models import ModelSpec, build_model, choose_stem, native_size
from ..training.optimizing import make_optimizer
from ..training.precision import Precision, set_tf32
from .profile_plan import Plan


def profile_model(config: TrainConfig, plan: Plan, console: Console | None = None) -> Profile:
    """Profile the model of some settings on random images.

    Args:
        config: model, images, optimizer, precision and device; ``out`` is a folder for the page.
        plan: what to try.
        console: where to say what is found; standard output by default.

    Raises:
        UsageError: the settings cannot be followed.
        AttachError: see `LayerDropBack`.
    """
    plan.check()
    folder = None if config.out is None else writable(config.out, config.overwrite)
    console = console or Console()
    size = config.image_size or native_size(config.model)
    found = Profile(config.model, 0)
    bench = _bench(replace(config, image_size=size), plan, found, console)
    compiled = compile_blocks if config.compile == "blocks" else _as_it_is
    chosen = plan.tried(config)
    # What cannot be attached is told now, not after minutes.
    LayerDropBack(bench.model, bench.optimizer, chosen[0]).detach()
    try:
        with _Screen(console, len(chosen)) as screen:
            seed, tell = config.seed, screen.tell
            fill(found, bench, chosen, plan.pairs, seed, compiled=compiled, tell=tell)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        fact = f"--batch-size {config.batch_size} images of {size} pixels do not fit"
        cure = "use a smaller --batch-size, or --precision bf16"
        raise UsageError(explain(fact, "the memory has run out", cure)) from None
    finally:
        if folder is not None and found.blocks:  # also on Ctrl-C: what there is
            say(console, f"the page is {write_files(found, command_line(), folder)}")
    return found


def _bench(config: TrainConfig, plan: Plan, found: Profile, console: Console) -> Bench:
    """The model with its batch; `found` is told what they are."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    set_tf32(config.tf32)
    device, size = find_device(config.device), config.image_size
    assert size is not None
    torch.manual_seed(config.seed)
    small = choose_stem(config.model, size, config.stem)
    arguments = parse_model_args(config.model_args)
    model, stem = build_model(ModelSpec(config.model, plan.classes, 3, size, small, arguments))
    images = torch.randn(config.batch_size, 3, size, size, device=device)
    model = model.to(device)
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    found.parameters = sum(parameter.numel() for parameter in model.parameters())
    names = ("batch_size", "image_size", "optimizer", "precision", "tf32", "channels_last")
    settings = config.as_dict()
    found.about = {name: settings[name] for name in (*names, "compile", "unit", "keep", "seed")}
    precision = Precision(config.precision, device)
    bench = Bench(model, images, _loss, make_optimizer(config, model), precision.autocast)
    found.about |= {"classes": plan.classes, "stem": stem, **measured_on(device)}
    say(
        console,
        f"{config.model} ({found.parameters / 1e6:.1f} M parameters), {config.batch_size} images "
        f"of {size}x{size} pixels, {config.optimizer}, {config.precision}, {device.type}; {stem}\n",
    )
    return bench


def _loss(outputs: Tensor) -> Tensor:
    targets = torch.zeros(len(outputs), dtype=torch.long, device=outputs.device)
    return nn.functional.cross_entropy(outputs, targets)


def _as_it_is(model: nn.Module) -> None:
    pass


class _Screen:
    """Prints each part of a profile when it is known, and on a terminal how long the rest takes."""

    def __init__(self, console: Console, settings: int):
        self._console, self._settings = console, settings
        self._status = console.status("timing the blocks")
        self._found: Profile | None = None
        self._said, self._since = 0, 0.0

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._status.stop()
        if self._found is not None:
            self._print(self._found)

    def tell(self, found: Profile) -> None:
        """One more part is known."""
        self._found = found
        done = len(found.savings)
        if done == 0:
            self._print(found)
            self._since = time.perf_counter()
        text = "timing the phases" if found.phases is None else f"setting {done + 1}"
        if done:
            pace = (time.perf_counter() - self._since) / done
            left = timedelta(seconds=round(pace * (self._settings - done)))
            text += f" of {self._settings}, {left} left"
        self._status.update(text)

    def _print(self, found: Profile) -> None:
        known = parts(found)
        for text in known[self._said :]:
            say(self._console, f"{text}\n")
        self._said = len(known)
