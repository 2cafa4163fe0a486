"""``ldb memory``: what it prints and writes, and what it says of bad input."""

import json
import sys

import pytest
import torch

from layerdropback.lab.memory import command
from layerdropback.lab.memory.arms import ARMS
from pages import Checked

TINY = ["--model", "test_resnet", "--image-size", "32", "--batch-size", "4", "--classes", "7"]
LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 97,
    "max_position_embeddings": 256,
    "torch_dtype": "float16",
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# Embedding and head; matrices of attention and MLP, and norms, of two blocks; the last norm.
NUMBERS = 2 * 97 * 64 + 2 * (64 * (64 + 32 + 32 + 64) + 3 * 64 * 160 + 2 * 64) + 64
BERT = {"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 97}
BERT |= {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3}
BERT |= {"num_attention_heads": 4, "max_position_embeddings": 64}
VIT = BERT | {"model_type": "vit", "architectures": ["ViTModel"], "image_size": 32}
VIT |= {"patch_size": 8}


@pytest.fixture
def config(tmp_path):
    """Writes a config; its path, relative to where the command runs."""

    def write(values, name="net/config.json"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(values if isinstance(values, str) else json.dumps(values))
        return name

    return write


def rows_of(output):
    """The table's cells, by arm."""
    lines = [line for line in output.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def test_the_command_shows_all_arms_and_writes_a_page(run, tmp_path):
    code, output, errors = run("memory", *TINY, "--out", "page")
    assert (code, errors) == (0, "")
    assert output.startswith("test_resnet (0.4 M parameters), batch 4 images of 32x32 pixels")
    rows = rows_of(output)
    assert list(rows) == list(ARMS)
    parts = ["parameters", "gradients", "states", "saved", "temporary", "else"]
    for row in rows.values():
        peak = float(row["peak, MB"])
        assert sum(float(row[name]) for name in parts) == pytest.approx(peak, abs=0.05)
    assert rows["truncate"]["first step"] != "" == rows["full"]["first step"]
    assert "Not counted: the CUDA context" in output
    assert output.splitlines()[-1] == "the page is page/memory.html"
    page = (tmp_path / "page" / "memory.html").read_text()
    assert page.count("<svg") == 1
    checked = Checked(page)
    assert checked.parts[:5] == ["h1", "verdict", "p", "h2", "table"]
    assert [row[0] for row in checked.tables[0][1:]] == list(ARMS)
    full, lora = (float(rows[arm]["peak, MB"]) for arm in ("full", "lora"))
    assert f"lora {lora:.2f} MB ({lora / full:.2f} of full's)" in " ".join(checked.words)
    record = json.loads((tmp_path / "page" / "memory.json").read_text())
    assert record["command"].startswith("ldb memory --model test_resnet")
    assert record["arms"]["lora"]["peak"] < record["arms"]["full"]["peak"]
    assert "| lora " in (tmp_path / "page" / "memory.md").read_text()


def test_a_config_is_enough_for_a_language_model(run, config):
    config(LLAMA, "net-1.5/config.json")
    flags = ["--hf-config", "net-1.5", "--tokens", "48", "--precision", "bf16", "--checkpointing"]
    code, output, errors = run("memory", *flags, "--arms", "full,lisa", "--active-blocks", "1")
    assert (code, errors) == (0, "")
    assert "net-1.5 (0.1 M parameters), batch 1 rows of 48 tokens, precision bf16" in output
    rows = rows_of(output)
    assert list(rows) == ["full", "lisa"]
    in_bf16 = 2 * NUMBERS
    assert float(rows["full"]["states"]) == pytest.approx(2 * in_bf16 / 1e6, abs=0.03)
    assert float(rows["lisa"]["trained"].rstrip(" %")) < 100


def predicted(run, monkeypatch, *arguments):
    """What a command has found."""
    found, real = [], command.predict
    with monkeypatch.context() as patch:
        patch.setattr(command, "predict", lambda *given: found.append(real(*given)))
        code, _, errors = run("memory", *arguments)
    assert (code, errors) == (0, "")
    return found[0]


def test_precisions_have_the_types_that_they_say(run, config, monkeypatch):
    path = config(LLAMA)
    sizes = {"fp32": (4, 8), "bf16": (2, 4), "autocast": (4, 8), "master": (2, 12)}
    for precision, (weights, states) in sizes.items():
        flags = ["--hf-config", path, "--tokens", "8", "--arms", "full", "--precision", precision]
        kinds = predicted(run, monkeypatch, *flags).arms["full"].kinds
        assert kinds["parameters"] == pytest.approx(weights * NUMBERS, rel=0.02)
        assert kinds["states"] == pytest.approx(states * NUMBERS, rel=0.06), precision
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    ("optimizer", "of_weights"),
    [
        ("sgd", 0),
        ("sgd-momentum", 1),
        ("adamw-8bit", 0.5),
        *(pytest.param(f"adamw-{how}", 2, marks=pytest.mark.slow) for how in ("loop", "foreach")),
    ],
)
def test_optimizers_have_the_states_that_they_say(optimizer, of_weights, run, monkeypatch):
    flags = [*TINY, "--arms", "full", "--optimizer", optimizer]
    kinds = predicted(run, monkeypatch, *flags).arms["full"].kinds
    share = kinds.get("states", 0) / kinds["parameters"]
    assert share == pytest.approx(of_weights, abs=0.12)


def test_each_kind_of_config_has_its_task(run, config, monkeypatch):
    bert = ["--hf-config", config(BERT), "--tokens", "16", "--arms", "full", "--classes", "3"]
    found = predicted(run, monkeypatch, *bert)
    assert found.about["batch"] == "1 sentences of 16 tokens"
    vit = ["--hf-config", config(VIT, "vit.json"), "--arms", "full"]
    found = predicted(run, monkeypatch, *vit)
    assert (found.name, found.about["batch"]) == ("vit", "32 images of 32x32 pixels")


@pytest.mark.slow
def test_a_budget_shows_what_fits_and_the_first_step_counts(run, tmp_path):
    common = [*TINY, "--arms", "truncate", "--optimizer", "sgd"]
    code, output, errors = run("memory", *common, "--budget", "8MB", "--out", "page")
    assert (code, errors) == (0, "")
    largest = int(rows_of(output)["truncate"]["fit 8 MB"])
    page = (tmp_path / "page" / "memory.html").read_text()
    assert "budget, 8 MB" in page
    for rows, fits in ((largest, True), (largest + 1, False)):
        flags = ["--batch-size", str(rows), "--out", "one", "--overwrite"]
        assert run("memory", *common, *flags)[0] == 0
        (one,) = json.loads((tmp_path / "one" / "memory.json").read_text())["arms"].values()
        assert (max(one["first"], one["peak"]) <= 8e6) == fits
    assert one["first"] > one["peak"]


def test_what_cannot_fit_at_all_is_none(run):
    code, output, _ = run("memory", *TINY, "--arms", "full,lora", "--budget", "1MB")
    assert code == 0
    assert [row["fit 1 MB"] for row in rows_of(output).values()] == ["none", "none"]


WRONG = {
    "no model": ([], "a model is missing. Cause: one model is predicted. Cure: give --model, or"),
    "two models": (["--model", "resnet18", "--hf-config", "net"], "two models are given."),
    "unknown model": (["--model", "resnet8"], "--model resnet8 is unknown. Cause: timm has no"),
    "no folder": (["--hf-config", "gone"], "--hf-config gone cannot be read. Cause: there is no"),
    "no config": (["--hf-config", "empty"], "Cause: the folder has no config.json. Cure: give a"),
    "no JSON": (["--hf-config", "odd.json"], "--hf-config odd.json is no config. Cause: it is no"),
    "unknown type": (
        ["--hf-config", "new.json"],
        "Cause: transformers knows no model_type 'llama9'. Cure: install a newer transformers",
    ),
    "no task": (["--hf-config", "sam.json"], "SamConfig is of no causal language model"),
    "0 tokens": (["--hf-config", "net", "--tokens", "0"], "--tokens 0 is not usable. Cause: a"),
    "too many": (
        ["--hf-config", "net", "--tokens", "257"],
        "--tokens 257 is too long. Cause: the config of net says 256. Cure: give at most 256.",
    ),
    "no rows": ([*TINY, "--batch-size", "0"], "--batch-size 0 is not usable."),
    "no arm": ([*TINY, "--arms", "full,half"], "--arms half is not usable. Cause: it is one of"),
    "no optimizer": ([*TINY, "--optimizer", "lion"], "--optimizer lion is not usable."),
    "no precision": ([*TINY, "--precision", "fp8"], "--precision fp8 is not usable."),
    "no share": ([*TINY, "--drop-rate", "1"], "--drop-rate 1 is not usable."),
    "no budget": ([*TINY, "--budget", "24"], "--budget 24 is not usable. Cause: an amount above"),
    "blocks": (
        [*TINY, "--arms", "blocks", "--active-blocks", "99"],
        "--active-blocks 99 leaves no block to rest: there are 4. Cause: a block counts where",
    ),
    "tiny images": (
        ["--model", "vgg11", "--image-size", "8", "--batch-size", "2"],
        "vgg11 cannot be trained on 2 images of 8x8 pixels. Cause:",
    ),
    "a file": ([*TINY, "--out", "odd.json"], "--out odd.json is a file. Cause: a folder is needed"),
    "a full folder": ([*TINY, "--out", "net"], "--out net is not empty. Cause: something would"),
    "no checkpointing": (
        ["--model", "dla34", "--image-size", "64", "--checkpointing", "--arms", "full"],
        "--checkpointing is not possible with DLA.",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line(name, run, config, tmp_path):
    config(LLAMA)
    config(LLAMA | {"model_type": "llama9"}, "new.json")
    config({"model_type": "sam"}, "sam.json")
    config("[1,", "odd.json")
    (tmp_path / "empty").mkdir()
    arguments, text = WRONG[name]
    code, _, errors = run("memory", *arguments)
    assert code == 2
    assert errors.startswith("ldb: error: ")
    assert text in errors
    assert errors.count("\n") == 1


def test_without_peft_lora_is_left_out_or_refused(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    why = "LoRA cannot be predicted. Cause: the package peft is not installed."
    code, output, errors = run("memory", *TINY)
    assert (code, errors) == (0, "")
    assert f"lora is left out: {why}" in output
    assert "lora" not in rows_of(output)
    code, _, errors = run("memory", *TINY, "--arms", "lora")
    assert (code, errors.startswith(f"ldb: error: {why}")) == (2, True)
