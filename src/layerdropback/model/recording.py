"""A full step that is being recorded, and what has to be so meanwhile."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from ..interop.compiling import eagerly
from .call_trace import CallTrace, ModuleCalls
from .ends import AskedGradients
from .recorder import Recorder, Watched

_running = 0


def in_analysis() -> bool:
    """Whether an analysis calls a model, so that hooks stand aside."""
    return _running > 0


@contextmanager
def analysis() -> Iterator[None]:
    """While an analysis calls a model."""
    global _running
    _running += 1
    try:
        yield
    finally:
        _running -= 1


class Recording:
    """At most one recorder; while passes run under it, no compiled graph, and FLOPs counted.

    It holds no reference to who started it.
    """

    def __init__(self) -> None:
        self.recorder: Recorder | None = None  # of the step that is being watched
        self._pass = contextlib.ExitStack()
        self._calls: ModuleCalls | None = None
        self._asked = AskedGradients()
        self._unwanted = contextlib.ExitStack()

    @property
    def saw_backward(self) -> bool:
        """Whether a step is being watched, and gradients have arrived in it."""
        return self.recorder is not None and self.recorder.saw_backward

    def start(self, watched: Watched) -> Recorder:
        """Watch the next step."""
        self.stop()
        self.recorder = Recorder(watched)
        return self.recorder

    def stop(self) -> None:
        """Watch no longer."""
        self._unwanted.close()
        if self.recorder is not None:
            self.recorder.stop()
        self.recorder = None

    def let_go(self, parameters: Iterable[nn.Parameter]) -> None:
        """Until `stop`, gradients of these are not kept once they have arrived."""
        for parameter in (p for p in parameters if p.requires_grad):
            hook = parameter.register_post_accumulate_grad_hook(_let_go)  # type: ignore[no-untyped-call]
            self._unwanted.callback(hook.remove)

    def close(self) -> None:
        """The same, also in the midst of a pass."""
        self.end_pass()
        self.stop()

    def begin_forward(self, running: nn.Module | None = None) -> None:
        """A forward pass begins, which is a call of this module; of what is trainable now."""
        recorder = self.recorder
        if recorder is None:
            return
        if recorder.was_called or recorder.saw_backward:
            recorder.extend()
        elif not recorder.is_current:
            recorder = self.start(recorder.watched)
        self.end_pass()
        # A compiled graph is one node, and shows no order.
        self._pass.enter_context(eagerly())
        model = recorder.watched.model
        if model is not None:
            self._pass.enter_context(recorder.counter)
        self._asked = self._pass.enter_context(AskedGradients())
        if model is not None:
            self._calls = ModuleCalls(model, running)
            self._pass.callback(self._calls.stop)

    def saw_forward(self, outputs: object, arguments: object, part: int = 0) -> CallTrace | None:
        """A forward pass has ended; what was seen of it, where a step is being watched."""
        if self.recorder is None:
            return None
        calls = {} if self._calls is None else self._calls.calls
        self._calls = None
        return self.recorder.saw_forward(outputs, arguments, calls, self._asked.numbers, part)

    def begin_backward(self) -> Callable[[], None] | None:
        """A backward pass begins; what is to be called at its end, if anything is."""
        if self.recorder is None:
            return None
        self.recorder.begin_backward()
        self.end_pass()
        self._pass.enter_context(eagerly())
        return self._end_backward

    def _end_backward(self) -> None:
        if self.recorder is not None:
            self.recorder.end_backward()
        self.end_pass()

    def end_pass(self) -> None:
        """A pass has ended, or was broken off."""
        self._pass.close()


def _let_go(parameter: Tensor) -> None:
    parameter.grad = None
