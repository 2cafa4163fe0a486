"""LayerDropBack: attaches masks, flags and factors to a model and its optimizers."""

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from numbers import Integral
from typing import Any, Protocol, Self, TypeVar, cast

from torch import nn
from torch.optim import Optimizer

from . import presets, state
from .distributed.agreement import require_agreement
from .distributed.comm_hook import CommHook, Traffic, register
from .engine import checks
from .engine.batching import BatchScaler, OpenBatch
from .engine.hooks import WeakHook
from .engine.stepping import Stepper
from .engine.window import FULL
from .epoch import Epoch
from .errors import AttachError, EpochError, explain
from .interop.sharding import reshard, sharded_modules
from .interop.wrappers import canonical_name, unwrap
from .model.layers import Layer, find_layers
from .scattering import count_scattered
from .schedule import LRScale, Ramp, Schedule
from .settings import (
    UNITS,
    Allocate,
    Depth,
    Resample,
    Settings,
    Strategy,
    Unit,
    names_of,
    settings_problems,
)
from .strategies.sampling import Mask
from .summary import describe

Batch = TypeVar("Batch")


class _SizedIterable(Sized, Iterable[Any], Protocol):
    pass


class LayerDropBack:
    """Drops random layers from the backward pass of a training loop.

    The forward pass, the model and the optimizer stay as they are. In a drop epoch each optimizer
    step draws a random subset of layers, which get no gradient and do not move (arXiv 2412.18027,
    section 3; what this project adds to it is in issue 2).

    Args:
        model: what the training loop calls. ``DistributedDataParallel`` needs
            ``find_unused_parameters=True``.
        optimizer: a torch optimizer, or several; with several, a mask holds until each has stepped.
        drop_rate: probability for each layer to be dropped in a drop step, in [0, 1); with
            ``"truncate"`` the share of the backward pass's cost that is skipped on average. With 0
            no epoch is a drop epoch, and training is plain, bit for bit.
        strategy: ``"uniform"``: every layer by itself (the paper). ``"truncate"``: all layers
            below a random depth, in the order of use, so that backward stops there. ``"branch"``:
            residual branches, each by itself; gradients flow around them (see `find_branches`).
            ``"adaptive"``: as ``"truncate"``, but the drop rate is the mean share of cost and of
            gradient signal, in equal parts, that is given up: layers whose gradients have become
            mostly noise are cut off more often.
            ``"none"``: the control, drop epochs with their learning rate and batch but with
            nothing dropped.
        unit: what is dropped as one: ``"layer"``, ``"block"`` or ``"tensor"``; see `find_layers`.
        every: a drop epoch every this many epochs.
        start: the first drop epoch, counted from 0. Before the first drop step ever, one full step
            is made, from which the order of the layers is read.
        lr_scale: learning-rate factor of drop steps, or ``"inverse"`` for 1 / (1 - rate).
        batch_scale: batch-size factor of drop epochs; other than 1 it needs a ``DataLoader``.
        resample: draw a mask per optimizer ``"step"`` or per ``"epoch"``.
        depth: for ``"truncate"``, how the share that a step skips is distributed: ``"uniform"`` as
            widely around the drop rate as is even, ``"fixed"`` always the drop rate, ``"power"``
            from nothing to nearly all.
        ramp: ``"rising"`` or ``"falling"``: the drop rate changes from one drop epoch to the next,
            as widely around ``drop_rate`` as is even. ``"constant"``: it does not.
        anneal: the last share of the run is trained in full.
        period_steps: periods of so many optimizer steps take the place of epochs in ``every``,
            ``start``, ``ramp``, ``anneal`` and ``resample``, for runs of a few epochs.
        masks: draw from a pool of so many masks, in which every layer is dropped equally often;
            for compiled models, which get a graph for each.
        length: of the whole run in epochs, or with ``period_steps`` in optimizer steps; ``ramp``
            and ``anneal`` need it.
        rates: drop rates of some layers, by names as for ``keep``; a later pattern goes before an
            earlier one. A branch takes the rate of any of its layers that is named.
        target_saving: the share of a training step's FLOPs that a drop step is to spare on average;
            the drop rate that does it is found after the first step, in place of ``drop_rate``.
        allocate: how ``"uniform"`` and ``"branch"`` spread the drop rate: ``"even"``, the same for
            all; ``"cost"``, in proportion to the FLOPs that a layer or branch spares;
            ``"sensitivity"``, to those FLOPs over how much the gradient changes without it, as
            measured in the first three steps, which are full. The mean share of FLOPs that is
            spared stays that of an even rate.
        keep: names of layers or parameters never to drop, wildcards allowed. The layer that is used
            last (the classifier) is always kept, and so is each optimizer's last layer.
        seed: of the masks; the global generators are neither read nor moved.
        verify: check after every step that dropped layers stood still and kept ones had gradients;
            costs a copy of the dropped parameters and their optimizer state.

    Raises:
        AttachError: with every problem that was found.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        >>> batches = [torch.ones(3, 4)] * 5
        >>> ldb = LayerDropBack(model, optimizer, drop_rate=0.5)
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
        optimizer: Optimizer | Sequence[Optimizer],
        drop_rate: float = 0.5,
        *,
        strategy: Strategy = "uniform",
        unit: Unit = "layer",
        every: int = 2,
        start: int = 1,
        lr_scale: LRScale = 2.0,
        batch_scale: float = 1,
        resample: Resample = "step",
        depth: Depth = "uniform",
        ramp: Ramp = "constant",
        anneal: float = 0.0,
        period_steps: int | None = None,
        masks: int | None = None,
        length: float | None = None,
        rates: Mapping[str, float] | None = None,
        target_saving: float | None = None,
        allocate: Allocate = "even",
        keep: Sequence[str] = (),
        seed: int = 0,
        verify: bool = False,
    ):
        optimizers = optimizer if isinstance(optimizer, Sequence) else (optimizer,)
        self.model = model
        self.optimizers: tuple[Optimizer, ...] = tuple(optimizers)
        self.settings = Settings(
            Schedule(
                drop_rate,
                every,
                start,
                lr_scale,
                batch_scale,
                ramp,
                anneal,
                period_steps,
                length,
            ),
            strategy,
            unit,
            resample,
            cast(tuple[str, ...], names_of(keep)),
            verify,
            depth,
            masks,
            tuple((rates or {}).items()),
            target_saving,
            allocate,
        )
        self.layers = self._check(seed)
        self._stepper = Stepper(model, self.optimizers, self.layers, self.settings, int(seed))
        self._batch = OpenBatch()
        self._current: weakref.ref[Epoch[Any]] | None = None
        self._serial = 0
        # Also when the user lets go of this object without detach().
        self._stepper.traces.callback(self._batch.close)
        self._release = weakref.finalize(self, self._stepper.traces.close)
        self._release.atexit = False
        self._traffic: Traffic | None = None
        try:
            self._traffic = count_scattered(sharded_modules(model), self._stepper.traces)
            facts = self.settings.as_facts() | {
                "layers (a digest)": state.digest(state.fingerprint(self.layers))
            }
            self._require_agreement("cannot attach LayerDropBack", **facts)
        except BaseException:
            self.detach()
            raise

    @classmethod
    def from_preset(
        cls,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        preset: str,
        **changes: Any,
    ) -> Self:
        """Attach with the settings of the authors' scripts.

        Args:
            model: as for the class.
            optimizer: as for the class.
            preset: ``"paper-scratch"`` or ``"paper-finetune"``; see `presets.PRESETS`.
            **changes: arguments of the class that go before the preset's.

        Raises:
            AttachError: the preset is unknown, or anything that the class raises.

        Example:
            >>> import torch
            >>> model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
            >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            >>> LayerDropBack.from_preset(model, optimizer, "paper-scratch").settings.unit
            'tensor'
        """
        return cls(model, optimizer, **(presets.settings(preset) | changes))

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
        current = Epoch(loader, epoch, self._batch.scaler.__len__, self._ender())
        self._current = weakref.ref(current)  # an epoch that nobody holds any more is over
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
        if isinstance(epoch, bool) or not isinstance(epoch, Integral) or epoch < 0:
            cause = "epochs are counted from 0"
            raise EpochError(explain(f"epoch={epoch!r} is no epoch", cause, "give its number"))
        self._require_attached()
        self.end_epoch()
        schedule = self.settings.schedule
        drops = schedule.period_steps is None and schedule.is_drop_epoch(epoch)
        if self.settings.schedule.ever_drops:
            self._require_agreement("cannot begin the epoch", epoch=int(epoch))
            self._follow_changes()
        self._batch.open(loader, self.settings.schedule.batch_scale if drops else 1)
        self._serial += 1
        self._stepper.enter_epoch(int(epoch))

    def end_epoch(self) -> None:
        """End the epoch that is open, if any; the batch size is the user's again.

        Gradients that were accumulated and not yet stepped keep their mask and learning-rate
        factor until the step that uses them.
        """
        self._batch.close()
        current = None if self._current is None else self._current()
        if current is not None:
            current.ended = True
        self._current = None
        self._stepper.leave_epoch()

    def redraw(self) -> None:
        """Count a step and draw the next mask, for frameworks whose steps fire no hook.

        Without the hooks nothing clears the gradients of dropped layers (where they are zeroed, not
        None, momentum and decay move them) and nothing scales the learning rate: do both yourself.
        """
        self._require_attached()
        self._stepper.next_window()

    def detach(self) -> None:
        """Remove every hook and put every flag, learning rate and batch size back, for good.

        A communication hook stays, as DDP gives none back; it sends everything from now on.
        """
        self.end_epoch()
        self._release()
        self._stepper.window = FULL

    # ---- several ranks ---------------------------------------------------------------------------

    def register_comm_hook(self, hook: CommHook | None = None, state: Any = None) -> None:
        """Let ``DistributedDataParallel`` send no gradients of dropped layers.

        Every rank must call it, before the first step. What a kept layer gets is what it would get
        otherwise; a bucket that is dropped as a whole is not sent at all. How many bytes were sent
        is in `stats`.

        Args:
            hook: reduces what is kept; by default an all-reduce, which DDP does by itself. Torch's
                compressing hooks work (``fp16_compress_hook``), but for those that keep something
                for each bucket from step to step (PowerSGD).
            state: for `hook`.

        Raises:
            AttachError: the model is no DDP model, or has a communication hook already.

        Example:
            Two gloo processes or more, as ``torchrun`` starts them::

                model = DistributedDataParallel(net, find_unused_parameters=True)
                ldb = LayerDropBack(model, optimizer, drop_rate=0.5)
                ldb.register_comm_hook()
        """
        self._require_attached()
        dropped = WeakHook(self._stepper.dropped_ids)
        self._traffic = register(self.model, dropped, hook, state)

    def _require_agreement(self, consequence: str, **facts: Any) -> None:
        require_agreement(facts | self._stepper.facts(), self.model, consequence)

    def total_steps(self, loader: _SizedIterable, epochs: int) -> int:
        """How many batches `epochs` epochs have, for a scheduler that counts steps.

        Args:
            loader: as given to `epoch`.
            epochs: how many, from epoch 0 on.

        Raises:
            LoaderError: see `epoch`.

        Example:
            >>> import torch
            >>> from torch.utils.data import DataLoader
            >>> model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
            >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            >>> ldb = LayerDropBack(model, optimizer, batch_scale=2)
            >>> ldb.total_steps(DataLoader(range(12), batch_size=3), epochs=4)
            12
        """
        schedule = self.settings.schedule
        by_epochs = schedule.period_steps is None
        dropping = sum(by_epochs and schedule.is_drop_epoch(epoch) for epoch in range(epochs))
        with self._batch.closed():
            scaled = BatchScaler(loader, schedule.batch_scale if dropping else 1)
            return len(loader) * (epochs - dropping) + len(scaled) * dropping

    # ---- what it says of itself ------------------------------------------------------------------

    @property
    def is_drop_epoch(self) -> bool:
        """Whether the epoch that is open, or its present step period, is one that drops."""
        return self._stepper.drop_epoch

    @property
    def mask(self) -> Mask | None:
        """True for each layer that is dropped now, shape ``(layers,)``; None in a full step."""
        mask = self._stepper.window.mask
        return None if mask is None else mask.copy()

    def stats(self) -> dict[str, Any]:
        """Numbers for a logger.

        Returns:
            ``epoch`` and ``is_drop_epoch``; ``step`` and ``drop_steps``, the optimizer steps since
            the start; ``lr_factor`` now in force; ``share_dropped``, the mean share of the layers
            that the loss reaches dropped per step of the current or last epoch; ``times_dropped``
            per layer; ``drop_chances``, each layer's chance to be dropped in a drop step as things
            stand, empty before the first step; ``gradient_bytes``, those that this process has
            given to all-reduce since `register_comm_hook`, of a sharded model (FSDP2) to
            reduce-scatter since it was attached; None otherwise.
        """
        stepper = self._stepper
        names = [layer.name for layer in self.layers]
        return {
            "epoch": stepper.epoch,
            "is_drop_epoch": stepper.drop_epoch,
            "step": stepper.step,
            "drop_steps": stepper.drop_steps,
            "lr_factor": stepper.window.lr_factor,
            "share_dropped": stepper.epoch_share,
            "times_dropped": dict(zip(names, stepper.times_dropped.tolist(), strict=True)),
            "drop_chances": dict(zip(names, stepper.chances(), strict=False)),
            "gradient_bytes": None if self._traffic is None else self._traffic.bytes,
        }

    def summary(self) -> str:
        """A table of the layers with their drop rates, in the order of use once it is known."""
        stepper = self._stepper
        return describe(self.layers, stepper.settings, stepper.findings.order, stepper.plan)

    def __repr__(self) -> str:
        return (
            f"LayerDropBack(drop_rate={self.settings.schedule.drop_rate:g}, "
            f"strategy={self.settings.strategy!r}, unit={self.settings.unit!r}, "
            f"layers={len(self.layers)}, step={self._stepper.step})"
        )

    # ---- checkpoints -----------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state in plain containers; flags and learning rates are the user's when it returns.

        It may be called between the batches of an epoch. An ``epoch()`` that is in no loop and no
        ``with`` block is ended.
        """
        self._close_abandoned()
        stepper = self._stepper
        return {
            "version": state.VERSION,
            "seed": stepper.seed,
            "epoch": stepper.epoch,
            "step": stepper.step,
            "drop_steps": stepper.drop_steps,
            "epoch_steps": stepper.epoch_steps,
            "epoch_dropped": stepper.epoch_dropped,
            "times_dropped": stepper.times_dropped.tolist(),
            "layers": state.fingerprint(self.layers),
            **stepper.findings.to_state(),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where the state was saved; the next epoch's masks are those of that run.

        The seed is the state's. An epoch that is open is ended first.

        Raises:
            StateError: the state is of another model, or is damaged; nothing has changed then.
        """
        modules = {canonical_name(name) for name, _ in unwrap(self.model).named_modules()}
        saved = state.check(state_dict, self.layers, modules)
        self.end_epoch()
        self._stepper.restart(saved)

    # ---- attaching -------------------------------------------------------------------------------

    def _check(self, seed: int) -> tuple[Layer, ...]:
        problems = checks.type_problems(self.model, self.optimizers)
        if problems:
            raise AttachError(problems)
        reshard(sharded_modules(self.model))  # a test leaves parameters whole
        problems = settings_problems(self.settings, seed)
        known_unit = self.settings.unit in UNITS
        layers = find_layers(self.model, self.settings.unit if known_unit else "layer")
        if problems or self.settings.schedule.ever_drops:
            problems += checks.attach_problems(self.model, self.optimizers, layers, self.settings)
        if problems:
            raise AttachError(problems)
        return layers

    def _follow_changes(self) -> None:
        reshard(sharded_modules(self.model))
        problems = checks.changed_parameters(unwrap(self.model), self.layers)
        problems = problems or [
            *checks.homeless_parameters(self.optimizers, self.layers),
            *checks.compile_problems(self.model, self.layers),
        ]
        if problems:
            raise AttachError(problems, "cannot begin the epoch")
        if self._stepper.findings.order is not None:
            self._stepper.replan()

    def _ender(self) -> Callable[[], None]:
        serial = self._serial

        def end() -> None:
            if self._serial == serial and self._current is not None:
                self.end_epoch()

        return end

    def _close_abandoned(self) -> None:
        self._stepper.put_back()
        if self._current is not None:
            current = self._current()
            if current is None or not current.in_use:
                self.end_epoch()

    def _require_attached(self) -> None:
        if not self._release.alive:
            cause, cure = "detach() was called", "make a new LayerDropBack"
            raise EpochError(explain("this LayerDropBack is not attached", cause, cure))
