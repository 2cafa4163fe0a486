"""A callback for the ``Trainer`` of Lightning, of ``pytorch_lightning`` as well.

``pip install 'layerdropback[lightning]'``.
"""

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch.nn.parallel import DistributedDataParallel

from ..controller import LayerDropBack
from ..engine.passes import see_through
from ..epoch import Epoch
from ..errors import AttachError, LoaderError, explain
from ..interop.wrappers import unwrap
from ..schedule import Schedule
from ..settings import LRScale
from ..strategies import Strategy
from .attaching import attached, logged, warn_of_never, warn_of_no_state
from .chosen import chosen
from .optional import framework

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")

if TYPE_CHECKING:
    from lightning.pytorch import Callback
else:  # the one that is in use already, where both are installed
    _loaded = [package for package in _PACKAGES if sys.modules.get(package)]
    Callback = framework(*_loaded, *_PACKAGES, extra="lightning").Callback


class LayerDropBackCallback(Callback):
    """Drops random layers from the backward pass of a run of Lightning's ``Trainer``.

    It attaches when the training starts, to the module and the optimizers of the run, with
    automatic or manual optimization, and detaches when it ends. What ``training_step`` calls is
    found, ``self(x)`` or ``self.net(x)``. Its state is in every checkpoint. Numbers are logged at
    every ``log_every_n_steps``: ``ldb/share_dropped``, ``ldb/drops``, and where the strategy knows
    costs ``ldb/backward_saved``.

    Args:
        strategy: which layers a step drops, see `LayerDropBack`; by default the preset's.
        schedule: when; by default the preset's, which is every step for ``"finetune"``.
        preset: a name in `PRESETS`, whose settings count where no others are given.
        lr_scale: see `LayerDropBack`, as for the following.
        batch_scale: of the run's ``DataLoader``, in drop epochs.
        seed: of the masks.
        verify: check every step.

    Attributes:
        ldb: the controller; None before the training starts.

    Raises:
        AttachError: a value makes no sense.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from layerdropback import Truncate
        >>> trainer = Trainer(callbacks=[LayerDropBackCallback(Truncate(0.5))], logger=False)
    """

    def __init__(
        self,
        strategy: Strategy | str | None = None,
        schedule: Schedule | None = None,
        *,
        preset: str = "finetune",
        lr_scale: LRScale | None = None,
        batch_scale: float | None = None,
        seed: int | None = None,
        verify: bool | None = None,
    ):
        more = {"lr_scale": lr_scale, "batch_scale": batch_scale, "seed": seed, "verify": verify}
        self.settings = chosen(preset, strategy, schedule=schedule, **more)
        self.ldb: LayerDropBack | None = None
        self._saved: dict[str, Any] | None = None
        self._epoch: Epoch[Any] | None = None  # that is open; one that nobody holds is over
        self._limits: _Limits | None = None

    # ---- the run ---------------------------------------------------------------------------------

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Forget what a validation has restored: a run's own checkpoint is restored after this."""
        if stage == "fit":
            self._saved = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Attach, and go on where a checkpoint was saved, or where the same trainer ended."""
        self._stop(pl_module)
        saved, self._saved = self._state_to_go_on_with(trainer, pl_module), None
        model = trainer.strategy.model
        _refuse_compiled(pl_module)
        cure = 'Trainer(strategy="ddp_find_unused_parameters_true")'
        self.ldb = attached(model, trainer.optimizers, self.settings, cure)
        if isinstance(model, DistributedDataParallel) and not pl_module.automatic_optimization:
            see_through(pl_module)  # its call is a whole training_step, optimizers' steps and all
        if saved is not None:
            self.ldb.load_state_dict(saved)
        elif trainer.global_step > 0:
            warn_of_no_state(trainer.global_step)
        warn_of_never(self.settings, trainer.max_epochs or 0, trainer.max_steps)

    def _state_to_go_on_with(self, trainer: Any, pl_module: Any) -> dict[str, Any] | None:
        """A checkpoint's; without one that of the trainer's last run with the same module."""
        if trainer.global_step == 0:  # it begins anew, also where a finder has undone a resumption
            return None
        if self._saved is not None or self.ldb is None or trainer.ckpt_path is not None:
            return self._saved
        return self.ldb.state_dict() if unwrap(self.ldb.model) is pl_module else None

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Only a batch factor must be there before the loader is iterated."""
        if self.settings.batch_scale != 1:
            self._begin(trainer)

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Begin an epoch with its first batch.

        By then all callbacks have thawed what they thaw, and it comes in a resumed epoch, too.
        """
        self._begin(trainer)

    def _begin(self, trainer: Any) -> None:
        number = trainer.current_epoch
        if self.ldb is None or (self._epoch is not None and self._epoch.number == number):
            return
        self._end()
        scaled = self.settings.batch_scale != 1
        self._epoch = self.ldb.epoch(trainer.train_dataloader if scaled else None, number)
        if scaled:
            self._limits = _Limits(trainer, self._epoch)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log."""
        if self.ldb is not None and (trainer.global_step % trainer.log_every_n_steps) == 0:
            pl_module.log_dict(logged(self.ldb, self.ldb.is_drop_epoch))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """End the epoch."""
        self._end()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Detach."""
        self._stop(pl_module)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Detach; a checkpoint may still be saved."""
        self._stop(pl_module)

    def _end(self) -> None:
        if self._limits is not None:
            self._limits.restore()
        self._epoch = self._limits = None
        if self.ldb is not None:
            self.ldb.end_epoch()

    def _stop(self, pl_module: Any) -> None:
        see_through(pl_module, False)
        if self.ldb is not None:
            self._end()
            self.ldb.detach()

    # ---- checkpoints -----------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """What every checkpoint of the run holds of LayerDropBack."""
        return {} if self.ldb is None else self.ldb.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Kept until the training starts: there is nothing to attach to before."""
        self._saved = dict(state_dict) or None


class _Limits:
    """What a trainer derives from the number of batches, which a batch factor changes."""

    def __init__(self, trainer: Any, epoch: Epoch[Any]):
        if not isinstance(trainer.limit_train_batches, float) or trainer.limit_train_batches != 1:
            fact = "batch_scale cannot be applied"
            cause = f"the trainer has limit_train_batches={trainer.limit_train_batches}"
            raise LoaderError(explain(fact, cause, "leave one of the two out"))
        self._trainer = trainer
        self._users = trainer.fit_loop.max_batches, trainer.val_check_batch
        if math.isinf(trainer.fit_loop.max_batches):  # a stream, which ends when it ends
            return
        batches = len(epoch)
        trainer.fit_loop.max_batches = batches
        interval = trainer.val_check_interval
        if isinstance(interval, float) and not math.isinf(trainer.val_check_batch):
            trainer.val_check_batch = max(1, int(batches * interval))

    def restore(self) -> None:
        """As they were."""
        self._trainer.fit_loop.max_batches, self._trainer.val_check_batch = self._users


def _refuse_compiled(pl_module: Any) -> None:
    if getattr(pl_module, "_compiler_ctx", None) is not None:
        fact = "the LightningModule was compiled as a whole"
        cause = "its training_step is one graph then, in which no call can be seen"
        cure = "compile what it calls, self.net.compile(), or block by block with unit='block'"
        raise AttachError([explain(fact, cause, cure)])
