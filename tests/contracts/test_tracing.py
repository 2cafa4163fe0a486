"""Traced, exported or scripted in a drop epoch, a model is as it would be without this library."""

import copy
import re

import pytest
import torch

from attached import attach, dropped_names, each_strategy, nearly_all, small, train
from layerdropback import AttachError

# torch.jit is on its way out, and says so.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
]

# Before torch 2.7 a strict export fails at hooks that it cannot trace, and says so.
EXPORTS_STRICTLY = hasattr(torch.compiler, "is_exporting")


def traced(model, batch):
    """As ``torch.jit.trace`` and the older ONNX exporter do."""
    graph, output = torch.jit._get_trace_graph(model, (batch,))
    torch.jit.trace(model, batch)  # compares the outputs, too
    return str(graph), output


def exported(strict):
    def export(model, batch):
        program = torch.export.export(model, (batch,), strict=strict)
        return program.graph_module.code, program.module()(batch)

    return export


WAYS = {"trace": traced, "export": exported(False)}
if EXPORTS_STRICTLY:
    WAYS["strict export"] = exported(True)


@pytest.fixture(params=["uniform", "truncate", "branch"])
def in_a_drop_epoch(request):
    """A model inside a drop epoch, its controller, optimizer and a batch."""
    entry = small(request.param)
    model = entry.model()
    ldb, optimizer = attach(model, nearly_all(request.param))
    train(entry, model, ldb, optimizer)
    (batch,) = entry.batches(1)
    with ldb.epoch(None, 1):
        yield entry, model, ldb, optimizer, batch


@pytest.mark.parametrize("way", WAYS)
def test_no_mask_is_baked_in(way, in_a_drop_epoch):
    entry, model, ldb, optimizer, batch = in_a_drop_epoch
    found, output = WAYS[way](model, batch[0])
    expected, without = WAYS[way](copy.deepcopy(model), batch[0])
    names = re.compile(r"# .*|___torch_mangle_\d+\.")
    assert names.sub("", found) == names.sub("", expected)
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    torch.testing.assert_close(output, without)

    optimizer.zero_grad()
    entry.backward(model, batch)
    dropped = dropped_names(ldb)
    assert dropped, "the mask holds in the step itself"
    assert all((p.grad is None) == (name in dropped) for name, p in model.named_parameters())


@pytest.mark.skipif(EXPORTS_STRICTLY, reason="a strict export works")
def test_a_strict_export_of_older_releases_fails_rather_than_bakes_a_mask_in(in_a_drop_epoch):
    _, model, _, _, batch = in_a_drop_epoch
    with pytest.raises(torch._dynamo.exc.Unsupported):
        torch.export.export(model, (batch[0],))


@each_strategy
def test_scripts_are_made_of_copies_and_after_detach(strategy):
    entry = small(strategy)
    model = entry.model()
    ldb, optimizer = attach(model, strategy)
    train(entry, model, ldb, optimizer)
    text = (
        "cannot script the model: 1 problem\n  1. torch.jit.script was called with a model that "
        "LayerDropBack is attached to. Cause: its hooks would be compiled, too. Cure: detach() "
        "first, or script a copy.deepcopy."
    )
    with pytest.raises(AttachError, match=re.escape(text)):
        torch.jit.script(model)
    with pytest.raises(AttachError, match=re.escape(text)):
        torch.jit.script(torch.nn.Sequential(model))
    batch = entry.batches(1)[0][0]
    scripts = [torch.jit.script(copy.deepcopy(model))]
    ldb.detach()
    scripts.append(torch.jit.script(model))
    for script in scripts:
        torch.testing.assert_close(script(batch), model(batch))
