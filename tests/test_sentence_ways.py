"""The benchmark of every way to fine-tune on sentences, and DropBP's rates from one pass."""

import json

import pytest
import torch
from torch.nn import functional
from transformers import BertConfig, BertForSequenceClassification

from benchmarks.__main__ import main
from benchmarks.common.card_files import read as read_card
from benchmarks.text import sentence_ways
from benchmarks.text.branch_flow import BranchRates, Flow, flows, rates_by_flow
from layerdropback import LayerDropBack
from layerdropback.model.branches import ResidualBranch
from tiny_language import make_folder, make_sentences

BATCH = torch.arange(10).reshape(2, 5)
LABELS = torch.tensor([0, 1])


@pytest.fixture
def bert():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": 8, "vocab_size": 12}
    return BertForSequenceClassification(BertConfig(**sizes)).eval()  # no dropout between passes


def gradient_at(model, module, cut=None):
    """Of the loss, at what a module is called with; where `cut` is named, it lets nothing back."""
    found, hooks = {}, []

    def keep(module, args):
        args[0].register_hook(lambda gradient: found.setdefault("gradient", gradient))

    hooks.append(model.get_submodule(module).register_forward_pre_hook(keep))
    if cut is not None:
        cutting = model.get_submodule(cut)
        hooks.append(cutting.register_forward_hook(lambda m, args, output: output.detach()))
    outputs = model(input_ids=BATCH).logits
    torch.autograd.grad(
        functional.cross_entropy(outputs, LABELS), model.bert.embeddings.parameters()
    )
    for hook in hooks:
        hook.remove()
    return found["gradient"]


def test_one_pass_finds_what_a_pass_for_each_branch_finds(bert):
    found = flows(bert, {"input_ids": BATCH}, LABELS)
    assert len(found) == 4
    for flow in found:
        block = flow.branch.name.rpartition(".output")[0]
        entrance = block if block.endswith("attention") else f"{block}.intermediate"
        whole = gradient_at(bert, entrance)
        around = gradient_at(bert, entrance, cut=flow.branch.name)
        expected = (whole - around).norm() / around.norm()
        torch.testing.assert_close(torch.tensor(flow.through), expected)
    assert not bert.bert.encoder.layer[0].intermediate._forward_pre_hooks


def test_rates_skip_what_they_stand_for_and_begin_where_least_is_lost():
    branches = [ResidualBranch(str(i), (f"{i}.w",), 0.1) for i in range(4)]
    found = [
        Flow(branch, through)
        for branch, through in zip(branches, (0.4, 0.1, 0.3, 0.2), strict=True)
    ]
    assert rates_by_flow(found, 0.3) == {"0.w": 0.0, "1.w": 0.9, "2.w": 0.0, "3.w": 0.3}
    assert set(rates_by_flow(found, 0.9).values()) == {0.9}


def test_the_rates_are_those_that_are_drawn(bert):
    found = flows(bert, {"input_ids": BATCH}, LABELS)
    names = [flow.branch.parameter_names[0] for flow in found]
    dropping = BranchRates(dict(zip(names, (0.0, 0.0, 0.0, 0.9), strict=True)), 0.3)
    settings = dropping.settings(1.0, seed=0)
    optimizer = torch.optim.SGD(bert.parameters(), lr=0.0)
    ldb = LayerDropBack(bert, optimizer, settings.strategy, settings.schedule, seed=0)
    for _ in ldb.epoch(range(200), 0):
        functional.cross_entropy(bert(input_ids=BATCH).logits, LABELS).backward()
        optimizer.step()
        optimizer.zero_grad()
    times = ldb.stats()["times_dropped"]
    dropped = {name: count for name, count in times.items() if count}
    assert all(name.startswith("bert.encoder.layer.1.") for name in dropped)
    assert all(150 < count < 199 for count in dropped.values())


@pytest.mark.slow
def test_the_sweep_writes_its_card(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sentence_ways, "GRID", (0.001, 0.01, 0.1))
    model, data = make_folder(tmp_path / "model"), make_sentences(tmp_path / "data", train=224)
    given = ["--model", str(model), "--data", str(data), "--precision", "fp32", "--seeds", "1"]
    main(["sentence-ways", *given, "--out", "cards/ways"])
    assert "through/around" in capsys.readouterr().out
    record = read_card(tmp_path / "cards" / "ways")
    names = [arm["name"] for arm in record["arms"]]
    assert names[:3] == ["plain", "plain 0.75", "plain 0.5"]
    assert {"branch 0.3 by flow", "LoRA 8", "uniform 0.5"} <= set(names)
    (mine,) = [arm for arm in record["arms"] if arm["name"] == "branch 0.3 by flow"]
    assert json.loads(json.dumps(mine["settings"]["rates"]))
