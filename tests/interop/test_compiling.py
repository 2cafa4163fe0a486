"""What is asked of torch.compile, and that its settings are what they were in the end."""

import pytest
import torch
from torch import nn
from torch._dynamo import config as dynamo

from attached import attach, dropping
from chain import Chain, together, vectors
from graphs import fresh_compiler
from layerdropback.interop.compiling import (
    compile_ignores_flags,
    compiled_modules,
    eagerly,
    is_being_exported,
    show_hooks_to_compiler,
)
from twins import ALWAYS

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler's own


@pytest.fixture
def graphs():
    with fresh_compiler() as graphs:
        yield graphs


@pytest.mark.parametrize(
    ("release", "ignores"),
    [("2.6.0", True), ("2.11.1+cu130", True), ("2.12.0", False), ("3.0.0a0", False)],
)
def test_the_releases_whose_graphs_ignore_flags(release, ignores, monkeypatch):
    monkeypatch.setattr(torch, "__version__", release)
    assert compile_ignores_flags() == ignores


def test_compiled_pieces_are_found_by_name(graphs):
    model = Chain()
    assert list(compiled_modules(model)) == []
    block = model.blocks[1]
    graphs.compile_blocks([block])
    model.stem = torch.compile(model.stem, backend=graphs.backend)
    assert dict(compiled_modules(model)) == {"stem": model.stem, "blocks.1": block}
    whole = torch.compile(Chain(), backend=graphs.backend)
    assert dict(compiled_modules(whole)) == {"(the whole model)": whole}


def test_nothing_compiled_runs_where_its_graph_is_read(graphs):
    model = torch.compile(nn.Linear(2, 2), backend=graphs.backend)
    with eagerly():
        model(torch.ones(1, 2))
    assert graphs.count == 0
    model(torch.ones(1, 2))
    assert graphs.count == 1


class Asks(nn.Module):
    """Notes in its forward pass whether it is being exported."""

    def __init__(self):
        super().__init__()
        self.linear, self.found = nn.Linear(2, 2), []

    def forward(self, x):
        self.found.append(is_being_exported())
        return self.linear(x)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_who_traces_or_exports_is_seen(monkeypatch):
    model, batch = Asks(), torch.ones(1, 2)
    model(batch)
    assert model.found == [False]
    torch.jit.trace(model, batch, check_trace=False)
    assert model.found[1]
    model.found.clear()
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    model(batch)
    assert model.found == [True]


def test_an_export_is_seen():
    seen = []

    class Exported(nn.Module):
        def forward(self, x):
            seen.append(is_being_exported())
            return x + 1

    torch.export.export(Exported(), (torch.ones(1, 2),), strict=False)
    assert seen
    assert all(seen)


# ---- hooks that come after a graph ---------------------------------------------------------------


@pytest.mark.usefixtures("graphs")
def test_hooks_are_shown_until_the_last_who_asked_is_done():
    first, second = show_hooks_to_compiler(), show_hooks_to_compiler()
    assert not dynamo.skip_nnmodule_hook_guards
    first()
    first()
    assert not dynamo.skip_nnmodule_hook_guards
    second()
    assert dynamo.skip_nnmodule_hook_guards


@pytest.mark.parametrize("users", [True, False])
def test_the_users_own_setting_is_back_in_the_end(users, graphs):
    with dynamo.patch({"skip_nnmodule_hook_guards": users}):
        hide = show_hooks_to_compiler()
        assert not dynamo.skip_nnmodule_hook_guards
        hide()
        assert dynamo.skip_nnmodule_hook_guards == users


def train(model, strategy):
    ldb, optimizer = attach(model, dropping(strategy, unit="block"), schedule=ALWAYS)
    for batch in ldb.epoch(vectors(4), 0):
        together(model, batch)
        optimizer.step()
        optimizer.zero_grad()
    return ldb


def test_detaching_leaves_the_compilers_settings_and_others_graphs(graphs):
    """Of what comes after the attachment; graphs from before it were made without hooks in mind."""
    model = Chain(dropout=0)
    graphs.compile_blocks(model.blocks)
    ldb = train(model, "branch")
    assert not dynamo.skip_nnmodule_hook_guards
    other = torch.compile(nn.Linear(2, 2), backend=graphs.backend)
    other(torch.ones(1, 2))
    made = graphs.count
    ldb.detach()
    assert dynamo.skip_nnmodule_hook_guards
    other(torch.ones(1, 2))
    assert graphs.count == made


def test_who_switches_nothing_or_compiles_nothing_changes_no_setting(graphs):
    compiled = Chain(dropout=0)
    graphs.compile_blocks(compiled.blocks)
    for model, strategy in ((compiled, "uniform"), (Chain(dropout=0), "branch")):
        ldb = train(model, strategy)
        assert dynamo.skip_nnmodule_hook_guards
        ldb.detach()


def test_a_controller_that_is_let_go_leaves_no_setting(graphs):
    model = Chain(dropout=0)
    graphs.compile_blocks(model.blocks)
    ldb = train(model, "branch")
    assert not dynamo.skip_nnmodule_hook_guards
    del ldb
    assert dynamo.skip_nnmodule_hook_guards
