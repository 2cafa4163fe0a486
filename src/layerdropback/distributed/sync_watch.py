"""Whether DistributedDataParallel has reduced the gradients that an optimizer steps on."""

from collections.abc import Sequence

import torch
from torch import nn

from ..errors import AttachError, explain
from ..interop.wrappers import data_parallels


class SyncWatch:
    """Watches for ``no_sync()``, from one optimizer step to the next; only in a model of DDP.

    A window's gradients may be accumulated under ``no_sync()`` as long as one of its passes, the
    last one, is not: that one reduces them all. A step without it uses each rank's own gradients,
    and the next mask leaves some layers unreduced for good (pytorch#69031).

    Args:
        model: what is trained.
        adopted: DDP models around it, or in it, that it does not show.
    """

    def __init__(self, model: nn.Module, adopted: Sequence[nn.Module] = ()):
        self._wrappers = data_parallels(model, *adopted)
        self._last_is_reduced: bool | None = None

    def knows(self, wrapper: nn.Module) -> bool:
        """Whether it is one of those that are watched."""
        return any(wrapper is known for known in self._wrappers)

    def begin_window(self) -> None:
        """An optimizer has stepped."""
        self._last_is_reduced = None

    def saw_pass(self) -> None:
        """The flag decides about a backward pass now, mostly where its forward pass has ended."""
        if self._wrappers:
            self._last_is_reduced = all(w.require_backward_grad_sync for w in self._wrappers)

    def require_reduced(self) -> None:
        """Before an optimizer's step: an `AttachError` where the gradients are this rank's own."""
        if self._last_is_reduced is not False:
            return
        groups = (wrapper.process_group for wrapper in self._wrappers)
        if any(torch.distributed.get_world_size(group) > 1 for group in groups):
            fact = "optimizer.step() was called on gradients that DDP has not reduced"
            cause = (
                "the last forward and backward pass before it ran under no_sync(), and masks that "
                "change after such a step leave the ranks with different models"
            )
            cure = "leave no_sync() for the last pass before each step"
            raise AttachError([explain(fact, cause, cure)], "cannot drop layers")
