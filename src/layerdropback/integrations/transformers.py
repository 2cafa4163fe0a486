"""A callback for the ``Trainer`` of transformers, and for what is built on it (TRL's, say).

``pip install 'layerdropback[transformers]'``.
"""

import sys
from collections.abc import Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..controller import LayerDropBack
from ..errors import AttachError, EpochError, LoaderError, explain
from ..schedule import Schedule
from ..settings import LRScale
from ..strategies import Strategy
from .attaching import attached, logged, warn_of_never, warn_of_no_state
from .chosen import chosen, from_state
from .optional import framework

if TYPE_CHECKING:
    from transformers import TrainerCallback
    from transformers.trainer_callback import ExportableState
else:
    _transformers = framework("transformers", extra="transformers")
    TrainerCallback = _transformers.TrainerCallback
    ExportableState = _transformers.trainer_callback.ExportableState


class LayerDropBackCallback(TrainerCallback, ExportableState):
    """Drops random layers from the backward pass of a run of ``Trainer``.

    It attaches when the training starts, to what the run calls and steps, and detaches when it
    ends. Its state is in every checkpoint (``trainer_state.json``), and is found when a run is
    resumed. Numbers are in what the trainer logs of the training: ``ldb/share_dropped``,
    ``ldb/drops``, 1 where the last step was a drop step, and where the strategy knows costs
    ``ldb/backward_saved``; see `LayerDropBack.stats`.

    Args:
        strategy: which layers a step drops, see `LayerDropBack`; by default the preset's.
        schedule: when; by default the preset's, which is every step for ``"finetune"``.
        preset: a name in `PRESETS`, whose settings count where no others are given.
        lr_scale: see `LayerDropBack`, as for the following.
        seed: of the masks.
        verify: check every step.
        batch_scale: only 1. The trainer counts a run's steps, and an epoch's when it is resumed,
            from the length that its loader has at the start.

    Attributes:
        ldb: the controller; None before the training starts.

    Raises:
        AttachError: a value makes no sense.
        LoaderError: a batch factor is asked for.

    Example:
        >>> from layerdropback import Truncate
        >>> callback = LayerDropBackCallback(Truncate(0.5))  # Trainer(..., callbacks=[callback])
        >>> callback.settings.schedule.every
        1
    """

    def __init__(
        self,
        strategy: Strategy | str | None = None,
        schedule: Schedule | None = None,
        *,
        preset: str = "finetune",
        lr_scale: LRScale | None = None,
        seed: int | None = None,
        verify: bool | None = None,
        batch_scale: float | None = None,
    ):
        more = {"lr_scale": lr_scale, "seed": seed, "verify": verify, "batch_scale": batch_scale}
        self.settings = chosen(preset, strategy, schedule=schedule, **more)
        self.ldb: LayerDropBack | None = None
        self._saved: Mapping[str, Any] | None = None
        self._epoch = 0
        self._drops = False
        if self.settings.batch_scale != 1:
            fact = f"batch_scale={self.settings.batch_scale:g} cannot be applied"
            cause = (
                "Trainer counts steps from the length that its loader has at the start, so "
                "learning rates and resumed runs would be wrong"
            )
            cure = "give batch_scale=1, or use a loop of your own"
            raise LoaderError(explain(fact, cause, cure))

    # ---- the run ---------------------------------------------------------------------------------

    def on_train_begin(
        self,
        args: Any,
        state: Any,
        control: Any,
        optimizer: Any = None,
        train_dataloader: Any = None,
        **_: Any,
    ) -> None:
        """Attach, and go on where a checkpoint was saved."""
        self._stop()  # the run before, which may have run out of memory
        trainer = _trainer_in(sys._getframe(1))
        self._take_the_lead(trainer)
        cure = "ddp_find_unused_parameters=True in the TrainingArguments"
        self.ldb = attached(trainer.model_wrapped, optimizer, self.settings, cure)
        self._epoch = _first_epoch(args, state, train_dataloader)
        self._resume(state)
        warn_of_never(self.settings, state.num_train_epochs, state.max_steps)

    def _take_the_lead(self, trainer: Any) -> None:
        """Stand before the callbacks that log; loops over them go on."""
        callbacks = trainer.callback_handler.callbacks
        if sum(isinstance(each, LayerDropBackCallback) for each in callbacks) > 1:
            cause, cure = "two would undo each other's work", "give the trainer one"
            fact = "the trainer has more than one LayerDropBackCallback"
            raise AttachError([explain(fact, cause, cure)])
        if getattr(trainer, "is_deepspeed_enabled", False):
            cause = "its engine moves the weights, and no step of an optimizer is seen"
            cure = "use DDP or FSDP2, or leave the callback out"
            raise AttachError([explain("the trainer uses DeepSpeed", cause, cure)])
        callbacks.remove(self)
        callbacks.insert(0, self)

    def _resume(self, state: Any) -> None:
        name = type(self).__name__
        kept = (state.stateful_callbacks or {}).get(name) or {}
        kept = kept[0] if isinstance(kept, list) else kept
        kept = kept.get("attributes") if isinstance(kept, Mapping) else None
        # The trainer updates this entry when it saves, and fails where there is none.
        state.stateful_callbacks[name] = {"args": {}, "attributes": {}}
        saved = self._saved or (kept.get("saved") if isinstance(kept, Mapping) else None)
        self._saved = None
        if saved and state.global_step > 0 and self.ldb is not None:
            self.ldb.load_state_dict(saved)
        elif state.global_step > 0:
            warn_of_no_state(state.global_step)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin an epoch; ``state.epoch`` lags after one that was cut short, so it is counted."""
        if self.ldb is not None:
            self.ldb.begin_epoch(self._epoch)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Note, for the log, whether this is a drop step."""
        self._drops = self.ldb is not None and self.ldb.mask is not None

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Add numbers to the trainer's own, where these are of the training."""
        if self.ldb is None or logs is None or "loss" not in logs:
            return
        logs |= logged(self.ldb, self._drops)
        if state.log_history and state.log_history[-1].get("loss") is logs["loss"]:
            state.log_history[-1].update(logs)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End it."""
        if self.ldb is not None:
            self.ldb.end_epoch()
            self._epoch += 1

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Detach."""
        self._stop()

    def _stop(self) -> None:
        if self.ldb is not None:
            self.ldb.detach()

    # ---- checkpoints -----------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a checkpoint's ``trainer_state.json`` holds of LayerDropBack."""
        return {"args": {}, "attributes": {} if self.ldb is None else {"saved": self.saved}}

    @property
    def saved(self) -> Mapping[str, Any] | None:
        """The controller's state; what is set here, with its settings, goes on in the next run.

        The trainer sets it with ``restore_callback_states_from_checkpoint=True``.
        """
        return self._saved if self.ldb is None else self.ldb.state_dict()

    @saved.setter
    def saved(self, value: Mapping[str, Any]) -> None:
        settings = value.get("settings") if isinstance(value, Mapping) else None
        self.settings = from_state(settings or {})
        self._saved = value


def _first_epoch(args: Any, state: Any, loader: Any) -> int:
    """The epoch in which a run begins, as the trainer counts it; of a stream it knows no number."""
    try:
        batches = len(loader)
    except TypeError:
        return int(state.epoch or 0)
    steps: int = max(1, -(-batches // args.gradient_accumulation_steps))
    return int(state.global_step // steps)


def _trainer_in(frame: FrameType | None) -> Any:
    """The trainer that runs a callback, which is not given it: the nearest up the stack."""
    from transformers import Trainer

    while frame is not None:
        # Of no other frame: one that is asked for its locals keeps them alive.
        if frame.f_globals.get("__name__") == Trainer.__module__:
            owner = frame.f_locals.get("self")
            if isinstance(owner, Trainer):
                return owner
        frame = frame.f_back
    fact = "LayerDropBackCallback was called by no Trainer"
    cause = "it must know the model that the trainer has wrapped, and finds it up the stack"
    cure = "give it to a transformers.Trainer, callbacks=[...]; elsewhere use LayerDropBack"
    raise EpochError(explain(fact, cause, cure))
