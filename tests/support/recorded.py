"""A full step of a model that is recorded as the library records it."""

from layerdropback.model.recorder import Watched
from layerdropback.model.recording import Recording


def recorded(model, work):
    """The recorder of one step; `work` runs forward and backward passes of the model."""
    recording = Recording()
    recording.start(Watched(dict(model.named_parameters()), model))

    def after(module, args, kwargs, outputs):
        recording.end_pass()
        recording.saw_forward(outputs, (args, kwargs))

    handles = [
        model.register_forward_pre_hook(lambda *_: recording.begin_forward(), prepend=True),
        model.register_forward_hook(after, with_kwargs=True),
    ]
    try:
        work(model)
        recorder = recording.recorder
        recorder.saw_gradients()
    finally:
        recording.close()
        for handle in handles:
            handle.remove()
    return recorder


def recorded_entry(entry):
    """The same for a model of the zoo, and the model."""
    model = entry.model()
    (batch,) = entry.batches(1)
    return recorded(model, lambda m: entry.backward(m, batch)), model


def ranked(ranks):
    """Names by their rank."""
    return sorted(ranks, key=ranks.__getitem__)


def modules(ranks):
    """The modules that own the parameters, in the order of these."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in ranked(ranks)))
