"""The examples, run as their first lines say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from folders import make_folder
from parallel import needs_distributed
from trainer_runs import tiny_bert

EXAMPLES = Path(__file__).parents[1] / "examples"

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def printed(folder, *command):
    """What Python prints with these arguments."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def alternate(shares):
    """Whether every second epoch dropped."""
    assert set(shares[0::2]) == {0}
    assert min(shares[1::2]) > 0.2


def rows(text, what, *kinds):
    """The numbers of each epoch's line, one column after the other."""
    found = re.findall(rf"epoch \d: ([\d.]+) of the {what}", text)
    return zip(
        *([kind(n) for kind, n in zip(kinds, row, strict=True)] for row in found), strict=True
    )


@pytest.mark.slow
@needs_distributed
def test_ddp_sends_less_in_drop_epochs(tmp_path):
    text = printed(tmp_path, *TORCHRUN, EXAMPLES / "ddp.py")
    shares, sent = rows(text, r"layers dropped, (\d+) KiB sent", float, int)
    assert shares[0::2] == (0, 0, 0)
    assert min(shares[1::2]) > 0.2
    assert len(set(sent[0::2])) == 1
    assert max(sent[1::2]) < 0.7 * sent[0]
    (right,) = re.findall(r"([\d.]+) % of the training images", text)
    assert float(right) > 90


@pytest.mark.slow
@needs_distributed
def test_fsdp_learns_while_it_drops(tmp_path):
    text = printed(tmp_path, *TORCHRUN, EXAMPLES / "fsdp.py")
    shares, losses = rows(text, r"blocks dropped, loss ([\d.]+)", float, float)
    assert shares[0::2] == (0, 0, 0)
    assert min(shares[1::2]) > 0.2
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("strategy", "backend", "graphs"),
    [
        ("truncate", "aot_eager", 3),
        pytest.param("uniform", "aot_eager", 4, marks=pytest.mark.slow),
        pytest.param("truncate", "inductor", 3, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_compiled_blocks_learn_with_few_graphs(strategy, backend, graphs, tmp_path):
    flags = ("--backend", backend, "--strategy", strategy)
    text = printed(tmp_path, EXAMPLES / "compile.py", *flags)
    line = r"layers dropped, loss ([\d.]+), (\d+) graphs so far"
    shares, losses, counts = rows(text, line, float, float, int)
    assert [share == 0 for share in shares] == [True, False] * 3
    assert losses[-1] < 0.5 * losses[0]
    assert list(counts) == sorted(counts)
    assert 2 <= counts[1] == counts[-1] <= graphs
    (right,) = re.findall(r"([\d.]+) % of the training images are right", text)
    assert float(right) > 80


# ---- what others' loops are made of --------------------------------------------------------------


@pytest.mark.slow
def test_timms_pieces_learn_while_they_drop(tmp_path):
    text = printed(tmp_path, EXAMPLES / "timm_loop.py", "--epochs", "4")
    shares, losses = rows(text, r"layers dropped, loss ([\d.]+)", float, float)
    alternate(shares)
    assert len(losses) == 4
    (right,) = re.findall(r"([\d.]+) % of the training images are right", text)
    assert float(right) > 30, "one in ten by chance"


@pytest.mark.slow
def test_a_vit_learns_with_accelerate_and_goes_on_after_a_stop(tmp_path):
    file = EXAMPLES / "accelerate_vit.py"
    text = printed(tmp_path, file, "--epochs", "1")
    text += printed(tmp_path, file, "--epochs", "2")
    shares, losses = rows(text, r"layers dropped, loss ([\d.]+)", float, float)
    alternate(shares)
    assert losses[1] < losses[0]
    unbroken = printed(tmp_path, file, "--epochs", "2", "--checkpoint", "another")
    assert text == unbroken


@pytest.mark.slow
@needs_distributed
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_vit_learns_with_accelerate_on_two_ranks(precision, tmp_path):
    launch = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2")
    launch += ("--num_machines", "1", "--main_process_port", "0", "--dynamo_backend", "no")
    launch += ("--mixed_precision", precision)
    text = printed(tmp_path, *launch, EXAMPLES / "accelerate_vit.py", "--epochs", "4")
    shares, losses = rows(text, r"layers dropped, loss ([\d.]+)", float, float)
    alternate(shares)
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
def test_a_bert_learns_with_trainer(tmp_path):
    text = tiny_bert(tmp_path)
    flags = ("--model", tmp_path, "--train", text, "--test", text, "--epochs", 4, "--lr", 0.01)
    shown = printed(tmp_path, EXAMPLES / "transformers_bert.py", *flags)
    ((share, steps),) = re.findall(r"([\d.]+) of the layers dropped in (\d+) steps", shown)
    assert float(share) > 0.3
    assert int(steps) == 40
    assert re.findall(r"accuracy ([\d.]+)", shown) == ["1.000"]


@pytest.mark.slow
def test_a_gpt2_learns_with_trainer(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat. " * 400)
    shown = printed(tmp_path, EXAMPLES / "transformers_gpt2.py", "--text", text, "--epochs", 4)
    ((share, steps, loss),) = re.findall(
        r"([\d.]+) of the layers .* (\d+) steps, loss (\S+)", shown
    )
    assert 0.1 < float(share) < 0.3
    assert int(steps) == 39  # which branches there are is seen in the first step
    assert float(loss) < 4


def metrics(text, name):
    """A number of each epoch's line."""
    return [float(number) for number in re.findall(rf"epoch \d: .*\b{name} ([\d.]+)", text)]


@pytest.mark.slow
def test_a_resnet_learns_with_lightning(tmp_path):
    folder = make_folder(tmp_path / "images", train=24, size=(32, 32)) / "train"
    file = EXAMPLES / "lightning_resnet.py"
    text = printed(tmp_path, file, "--data", folder, "--size", "32", "--epochs", "4")
    assert metrics(text, "ldb/drops") == [1] * 4
    assert min(metrics(text, "ldb/share_dropped")) > 0.2
    assert len(set(metrics(text, "loss"))) == 4


def test_with_lightning_it_takes_two_lines():
    lines = (EXAMPLES / "lightning_resnet.py").read_text().splitlines()
    assert len([line for line in lines if re.search("layerdropback|ldb", line.lower())]) == 2


@pytest.mark.slow
def test_a_resnet_learns_digits_with_lightning_and_without_the_two_lines(tmp_path):
    file = EXAMPLES / "lightning_resnet.py"
    losses = metrics(printed(tmp_path, file, "--epochs", 2), "loss")
    assert losses[-1] < 0.5 * losses[0]
    lines = [line for line in file.read_text().splitlines() if "LayerDropBack" not in line]
    (tmp_path / "plain.py").write_text("\n".join(lines))
    text = printed(tmp_path, "plain.py", "--epochs", 2)
    assert "ldb" not in text
    assert metrics(text, "loss")[-1] < 0.5 * losses[0]
