"""LayerDropBack: the face of the library."""

import warnings
import weakref
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any, Self, TypeVar

from torch import nn
from torch.optim import Optimizer

from . import __version__, presets, state
from .distributed.ddp import CommHook, Traffic, register
from .engine.engine import attach, follow_changes
from .engine.hooks import WeakHook
from .epoch import Epoch, OpenEpoch
from .errors import EpochError, explain
from .interop.wrappers import canonical_name
from .model.layers import Layer, fingerprint
from .option import is_count
from .schedule import Schedule
from .settings import LRScale, Settings
from .strategies import Strategy, strategy_of
from .strategies.odds import Mask
from .summary import describe, numbers

Batch = TypeVar("Batch")
Optimizers = Optimizer | Sequence[Optimizer]


class LayerDropBack:
    """Drops random layers from the backward pass of a training loop.

    In a drop epoch each optimizer step draws layers that get no gradient and do not move
    (arXiv 2412.18027, section 3). Forward pass, model and optimizer stay as they are.

    Args:
        model: what the training loop calls. ``DistributedDataParallel`` needs
            ``find_unused_parameters=True``.
        optimizer: a torch optimizer, or several: then a mask holds until each has stepped. What
            Accelerate, Lightning, Lookahead or SAM put around one is looked through.
        strategy: which layers a step drops: `Uniform`, `Truncate`, `Branch`, `Control`, or the name
            of one (``"uniform"``, ...) for its defaults.
        schedule: when they drop. The passes of the first step ever are full: from them the order of
            the layers is read.
        lr_scale: learning-rate factor of drop steps, or ``"inverse"`` for 1 / (1 - rate).
        batch_scale: batch-size factor of drop epochs; other than 1 it needs a ``DataLoader``.
        seed: of the masks; the global generators are neither read nor moved.
        verify: check after every step that dropped layers stood still and kept ones had gradients.

    Raises:
        AttachError: with every problem that was found.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        >>> batches = [torch.ones(3, 4)] * 5
        >>> ldb = LayerDropBack(model, optimizer, "uniform")
        >>> for epoch in range(2):
        ...     for batch in ldb.epoch(batches, epoch):
        ...         model(batch).sum().backward()
        ...         optimizer.step()
        ...         optimizer.zero_grad()
        >>> ldb.stats()["drop_steps"]
        5
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizers,
        strategy: Strategy | str = "uniform",
        schedule: Schedule = Schedule(),
        *,
        lr_scale: LRScale = 1.0,
        batch_scale: float = 1,
        seed: int = 0,
        verify: bool = False,
    ):
        chosen = strategy_of(strategy)
        self.settings = Settings(chosen, schedule, lr_scale, batch_scale, seed, verify)
        self._traffic: Traffic | None = None
        word = isinstance(optimizer, str)  # which is a sequence, too
        given = optimizer if isinstance(optimizer, Sequence) and not word else (optimizer,)
        self._engine = attach(model, given, self.settings)
        self._epoch = OpenEpoch(self, self._engine.traces)

    @classmethod
    def from_preset(
        cls, model: nn.Module, optimizer: Optimizers, preset: str, **changes: Any
    ) -> Self:
        """Attach with the settings of the authors' scripts, or with what has shown to gain.

        Args:
            model: as for the class, and so is `optimizer`.
            optimizer: see there.
            preset: a name in `PRESETS`.
            **changes: arguments of the class that go before the preset's.

        Raises:
            AttachError: as for the class.

        Example:
            >>> import torch
            >>> model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
            >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            >>> LayerDropBack.from_preset(model, optimizer, "finetune").settings.schedule.every
            1
        """
        return cls(model, optimizer, **vars(presets.changed(preset, **changes)))

    @property
    def model(self) -> nn.Module:
        """What it is attached to, as are `optimizers`."""
        return self._engine.target.model

    @property
    def optimizers(self) -> tuple[Optimizer, ...]:
        """The torch optimizers that were given, without what is put around them."""
        return self._engine.target.optimizers

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The model's layers, in the order in which masks number them."""
        return self._engine.target.layers

    # ---- the epoch -------------------------------------------------------------------------------

    def epoch(self, loader: Iterable[Batch] | None, epoch: int) -> Epoch[Batch]:
        """Begin an epoch, and return its batches.

        Args:
            loader: any iterable of batches; None where ``with`` is used around a loop of one's own.
            epoch: the epoch's number, from 0.

        Returns:
            An iterable with a length, which is a context manager too. The epoch ends with it.

        Raises:
            LoaderError: the batch factor cannot be applied to the loader.
            AttachError: the model or an optimizer has changed in a way that cannot be followed.
        """
        self.begin_epoch(epoch, loader)
        current = Epoch(loader, epoch, self._epoch.batch, self.end_epoch)
        self._epoch.current = weakref.ref(current)
        return current

    def begin_epoch(self, epoch: int, loader: Iterable[Any] | None = None) -> None:
        """Begin an epoch, for frameworks that own the loop; `end_epoch` ends it.

        Args:
            epoch: the epoch's number, from 0.
            loader: needed where ``batch_scale`` is not 1.

        Raises:
            LoaderError: see `epoch`.
            AttachError: see `epoch`.
        """
        if not is_count(epoch):
            cause = "epochs are counted from 0"
            raise EpochError(explain(f"epoch={epoch!r} is no epoch", cause, "give its number"))
        self._epoch.require_attached()
        self.end_epoch()
        if self.settings.ever_drops:
            follow_changes(self._engine, int(epoch))
        drops = self.settings.has_drop_batch(int(epoch))
        self._epoch.open(loader, self.settings.batch_scale if drops else 1)
        self._engine.windows.enter_epoch(int(epoch))

    def end_epoch(self) -> None:
        """End the epoch that is open, if any; the batch size is the user's again.

        Gradients that wait for their step keep their mask and factor until then.
        """
        self._epoch.close()
        self._engine.passes.put_back()
        self._engine.windows.leave_epoch()

    def redraw(self) -> None:
        """Count a step and draw the next mask, for frameworks whose steps fire no hook.

        Then nothing clears the gradients of dropped layers or scales the learning rate: do both.
        """
        self._epoch.require_attached()
        self._engine.redraw()

    def detach(self) -> None:
        """Remove every hook and put all back, for good; a communication hook sends everything."""
        self.end_epoch()
        self._epoch.release()
        self._engine.stop()

    def total_steps(self, loader: Sized, epochs: int) -> int:
        """How many batches `epochs` epochs have, for a scheduler that counts steps.

        Args:
            loader: as given to `epoch`.
            epochs: how many, from epoch 0 on.

        Raises:
            LoaderError: see `epoch`.
            EpochError: `epochs` is no number of epochs.
        """
        if not is_count(epochs):
            fact = f"epochs={epochs!r} is no number of epochs"
            raise EpochError(explain(fact, "epochs are counted", "give 0 or more"))
        dropping = sum(map(self.settings.has_drop_batch, range(epochs)))
        scale = self.settings.batch_scale
        return self._epoch.total_batches(loader, epochs - dropping, dropping, scale)

    def register_comm_hook(self, hook: CommHook | None = None, state: Any = None) -> None:
        """Let ``DistributedDataParallel`` send no gradients of dropped layers.

        Every rank must call it, before the first step; see docs/distributed.md for an example. How
        many bytes were sent is in `stats`.

        Args:
            hook: reduces what is kept; by default an all-reduce. Torch's compressing hooks work
                (``fp16_compress_hook``), but for those that keep something for each bucket.
            state: for `hook`.

        Raises:
            AttachError: the model is no DDP model, or has a communication hook already.
        """
        self._epoch.require_attached()
        dropped = WeakHook(self._engine.dropped_ids)
        target = self._engine.target
        self._traffic = register((target.model, *target.adopted), dropped, hook, state)

    # ---- what it says of itself ------------------------------------------------------------------

    @property
    def is_drop_epoch(self) -> bool:
        """Whether the epoch that is open, or its present step period, is one that drops."""
        return self._engine.windows.drops

    @property
    def mask(self) -> Mask | None:
        """True for each layer that is dropped now, shape ``(layers,)``; None in a full step."""
        mask = self._engine.windows.window.mask
        return None if mask is None else mask.copy()

    def stats(self) -> dict[str, Any]:
        """Numbers for a logger.

        Returns:
            ``epoch``, ``is_drop_epoch``; ``step`` and ``drop_steps``, optimizer steps so far;
            ``lr_factor`` now; ``share_dropped``, of the layers that the loss reaches, mean over the
            epoch's steps; ``backward_saved``, of the backward pass's FLOPs as a recorded step shows
            them, the mean share that the epoch's steps skip, full ones included, or None where the
            strategy does not know costs; by layer ``times_dropped`` and ``drop_chances`` (empty
            before the first step); ``gradient_bytes``, given to all-reduce since
            `register_comm_hook`, or None.
        """
        return numbers(self._engine, None if self._traffic is None else self._traffic.bytes)

    def summary(self) -> str:
        """A table of the layers with their drop rates, in the order of use once it is known."""
        return describe(self._engine)

    def __repr__(self) -> str:
        return (
            f"LayerDropBack({self.settings.strategy!r}, layers={len(self.layers)}, "
            f"step={self._engine.windows.counters.step})"
        )

    # ---- checkpoints -----------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state in values that JSON has, also between the batches of an epoch; ends nothing."""
        self._engine.passes.put_back()
        return {
            "version": state.VERSION,
            "release": __version__,
            "settings": self.settings.to_state(),
            "layers": fingerprint(self.layers),
            **self._engine.to_state(),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where the state was saved, with its seed; an open epoch is ended first.

        Where settings are others than the state's, these count, with a warning that names them.

        Raises:
            StateError: the state is of another model, or is damaged; nothing has changed then.
        """
        inner = self._engine.target.inner
        modules = {canonical_name(name) for name, _ in inner.named_modules()}
        saved = state.check(state_dict, self.layers, modules)
        self.end_epoch()
        self._engine.restart(saved)
        others = state.differences(saved["settings"], self.settings.to_state())
        if others:
            fact = f"the state was saved with other settings: {'; '.join(others)}"
            cause, cure = "they were changed since", "give the same ones, or go on with these"
            warnings.warn(explain(fact, cause, cure), stacklevel=2)
