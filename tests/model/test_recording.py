"""A recorded step runs like any other, uncompiled, and leaves nothing; so does an analysis."""

import pytest
import torch
from torch import nn

from layerdropback.model.recorder import Watched
from layerdropback.model.recording import Recording, analysis, in_analysis
from recorded import recorded
from zoo import ZOO, Skip


def test_an_analysis_runs_while_it_is_entered_however_it_ends():
    assert not in_analysis()
    with analysis():
        with pytest.raises(KeyError), analysis():
            raise KeyError
        assert in_analysis()
    assert not in_analysis()


def hooks(model):
    found = [len(p._post_accumulate_grad_hooks or {}) for p in model.parameters()]
    return sum(found) + sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()
    )


def watched(model, asks=True):
    return Watched(dict(model.named_parameters()), model if asks else None)


def test_nothing_happens_where_no_step_is_watched():
    recording = Recording()
    recording.begin_forward()
    assert recording.saw_forward(torch.ones(2), ()) is None
    assert recording.begin_backward() is None
    assert not recording.saw_backward
    recording.close()


def test_gradients_are_those_of_a_plain_step():
    entry = ZOO["vit"]
    model, twin = entry.model(), entry.model()
    (batch,) = entry.batches(1)
    recorded(model, lambda m: entry.backward(m, batch))
    entry.backward(twin, batch)
    for mine, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=0, atol=0)
    assert hooks(model) == 0


def test_a_pass_that_is_broken_off_leaves_nothing():
    model = ZOO["mlp"].model()
    recording = Recording()
    recording.start(watched(model))
    recording.begin_forward()
    assert hooks(model) > 0
    recording.close()
    assert hooks(model) == 0
    assert recording.recorder is None
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None


def test_what_was_unfrozen_before_the_first_pass_is_watched():
    model = ZOO["frozen_stem"].model()
    recording = Recording()
    recording.start(watched(model))
    model[0].requires_grad_(True)
    recording.begin_forward()
    out = model(torch.randn(2, 8))
    recording.end_pass()
    recording.saw_forward(out, ())
    out.sum().backward()
    assert recording.saw_backward
    assert recording.recorder.finish().knows("0.weight")
    recording.close()


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler's own
def test_compiled_blocks_run_uncompiled_meanwhile():
    torch._dynamo.reset()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    # Older compilers skip modules of torch itself.
    model = nn.Sequential(Skip(nn.Linear(3, 3)), nn.Linear(3, 2))
    model[0].compile(backend=backend)
    order = recorded(model, lambda m: m(torch.ones(1, 3)).sum().backward()).finish()
    assert graphs == []
    assert list(order.first)[-1].startswith("1.")
    model(torch.ones(1, 3))
    assert len(graphs) == 1


@pytest.mark.parametrize("asks", [True, False])
def test_flops_are_counted_and_calls_seen_where_somebody_asks(asks):
    model = ZOO["mlp"].model()
    recording = Recording()
    recording.start(watched(model, asks))
    recording.begin_forward()
    out = model(torch.randn(2, 8))
    recording.end_pass()
    trace = recording.saw_forward(out, ())
    assert bool(trace.flops) == asks
    called = {name for name, _ in model.named_modules() if name}
    assert trace.calls.keys() == (called if asks else set())
    recording.close()
