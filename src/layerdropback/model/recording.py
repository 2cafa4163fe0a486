"""A full step that is being watched, and what has to be so meanwhile."""

import contextlib
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from ..interop.sharding import Sharded
from ..lab.profiling.trial import Call
from .order import Recorder


class Recording:
    """At most one recorder, and while passes run under it no compiled graph, and FLOPs counted.

    It holds no reference to who started it.

    Args:
        counts: whether the FLOPs of forward passes are counted.

    Attributes:
        recorder: of the step that is being watched; None where none is.
    """

    def __init__(self, counts: bool):
        self.recorder: Recorder | None = None
        self._counts = counts
        self._counting = False
        self._parameters: Mapping[str, nn.Parameter] = {}
        self._sharded: Sequence[Sharded] = ()
        self._eager = contextlib.ExitStack()

    @property
    def saw_backward(self) -> bool:
        """Whether a step is being watched, and gradients have arrived in it."""
        return self.recorder is not None and self.recorder.saw_backward

    def start(
        self, parameters: Mapping[str, nn.Parameter], sharded: Sequence[Sharded] = ()
    ) -> None:
        """Watch the next step, by these parameters; see `Recorder`."""
        self.stop()
        self._parameters, self._sharded = parameters, sharded
        self.recorder = Recorder(parameters, sharded)

    def stop(self) -> None:
        """Watch no longer."""
        if self.recorder is not None:
            self.recorder.stop()
        self.recorder, self._parameters, self._sharded = None, {}, ()

    def close(self) -> None:
        """The same, also in the midst of a pass."""
        self.end_pass()
        self.stop()

    def begin_forward(self) -> None:
        """A forward pass begins; of what is trainable now."""
        if self.recorder is None:
            return
        if not self.recorder.saw_backward and not self.recorder.is_current:
            self.start(self._parameters, self._sharded)
        self._run_eagerly()
        if self._counts and not self._counting:
            self._counting = True
            self._eager.enter_context(self.recorder.counter)
            self._eager.callback(setattr, self, "_counting", False)

    def saw_forward(self, outputs: object, arguments: Call | None) -> None:
        """A forward pass has ended."""
        if self.recorder is not None:
            self.recorder.saw_forward(outputs, arguments)

    def begin_backward(self) -> Callable[[], None] | None:
        """A backward pass begins; what is to be called at its end, if anything is."""
        if self.recorder is None:
            return None
        self.end_pass()
        self._run_eagerly()
        return self.end_pass

    def end_pass(self) -> None:
        """A pass has ended, or was broken off."""
        self._eager.close()

    def _run_eagerly(self) -> None:
        """Until the pass ends: a compiled graph is one node, and tells no order."""
        self._eager.enter_context(torch.compiler.set_stance("force_eager"))
