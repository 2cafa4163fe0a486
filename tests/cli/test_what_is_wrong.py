"""The command line: what it says of itself and of what is wrong, and how fast."""

import platform
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

import layerdropback
from command import TINY

WRONG = {
    "threads": (["--threads", "0"], "--threads 0 is not usable"),
    "many threads": (["--threads", "2147483648"], "--threads 2147483648 is not usable"),
    "huge": (["--lr", "1e300"], "--lr 1e+300 is not usable"),
    "huge factor": (["--lr-scale", "1e300"], "--lr-scale 1e+300 is not usable"),
    "huge batch": (["--batch-size", "1" + "0" * 400], "is not usable"),
    "batch of one": (["--batch-size", "1"], "--batch-size 1 is not usable"),
    "drop batch of one": (["--batch-scale", "0.01"], "--batch-scale 0.01 is not usable"),
    "seed": (["--seed", "-1"], "--seed -1 is not usable"),
    "home": (["--data", "folder:~nobody-here/x"], "write the path out"),
    "empty recipe": (["--recipe", ""], "--recipe '' is unknown"),
    "drop rate": (["--drop-rate", "1.5"], "--drop-rate 1.5 is not usable"),
    "lr scale": (["--lr-scale", "double"], "--lr-scale 'double' is not usable"),
    "pool": (["--pool", "1"], "--pool 1 is not usable"),
    "depth": (["--depth", "fixed"], "--depth is not usable with --strategy uniform. Cause: it be"),
    "control's rate": (
        ["--strategy", "control", "--drop-rate", "0.5"],
        "--drop-rate is not usable with --strategy control. Cause: it belongs to uniform, trunc",
    ),
    "control's factor": (
        ["--strategy", "control", "--lr-scale", "inverse"],
        "--lr-scale 'inverse' is not usable with Control()",
    ),
    "masks": (["--masks", "4"], "No such option: --masks"),
    "strategy": (["--strategy", "auto"], "--strategy 'auto' is not usable. Cause: there is no"),
    "unit": (["--unit", "stage"], "--unit 'stage' is not usable"),
    "every": (["--every", "0"], "--every 0 is not usable"),
    "recipe": (["--recipe", "paper"], "--recipe 'paper' is unknown. Cause: no such recipe"),
    "file": (["--config", "none.yaml"], "cannot read none.yaml. Cause: No such file"),
    "warm-up": (["--warmup-epochs", "10"], "--warmup-epochs 10.0 is not usable"),
    "milestones": (["--milestones", "1.5"], "--milestones 1.5 is not usable"),
    "smoothing": (["--label-smoothing", "1"], "--label-smoothing 1.0 is not usable"),
    "ema": (["--ema", "1"], "--ema 1.0 is not usable"),
    "clip": (["--clip-grad", "-1"], "--clip-grad -1.0 is not usable"),
    "rotate": (["--rotate", "400"], "--rotate 400.0 is not usable"),
    "erasing": (["--erasing", "2"], "--erasing 2.0 is not usable"),
    "accumulate": (["--accumulate", "33"], "--accumulate 33 is not usable"),
    "parts": (["--accumulate", "9", "--batch-scale", "0.25"], "in drop epochs too"),
    "second order": ([*TINY, "--optimizer", "adahessian", "--lr", "1"], "second derivatives"),
    "out home": ([*TINY, "--out", "~nobody-here/x"], "--out ~nobody-here/x is not usable"),
    "init home": ([*TINY, "--init", "~nobody-here/x"], "--init ~nobody-here/x is not usable"),
    "config home": (["--config", "~nobody-here/x"], "--config ~nobody-here/x is not usable"),
    "checkpoints": (["--checkpoints", "0"], "--checkpoints 0 is not usable"),
    "workers": (["--workers", "-1"], "--workers -1 is not usable"),
    "precision": (["--precision", "fp8"], "--precision fp8 is not usable"),
    "schedule": (["--schedule", "step"], "--schedule step is not usable"),
    "compile": (["--compile", "blocks"], "--compile blocks is not usable with --unit layer"),
    "resume": (["--resume"], "--resume needs --out"),
    "both": (["--resume", "--overwrite", "--out", "x"], "--resume and --overwrite exclude"),
    "starts": (["--pretrained", "--init", "x"], "--pretrained and --init exclude each other"),
    "no augment": (["--no-augment", "--mixup", "1"], "--no-augment and --mixup exclude"),
    "init": ([*TINY, "--init", "none.safetensors"], "none.safetensors. Cause: No such file"),
    "epochs": (["--epochs", "0"], "--epochs 0 is not usable"),
    "lr": (["--lr", "nan"], "--lr nan is not usable"),
    "momentum": (["--momentum", "1"], "--momentum 1.0 is not usable"),
    "decay": (["--weight-decay", "-1"], "--weight-decay -1.0 is not usable"),
    "layer decay": (
        ["--layer-decay", "1.5"],
        "--layer-decay 1.5 is not usable. Cause: a number in",
    ),
    "crop": (["--crop-pct", "1.1"], "--crop-pct 1.1 is not usable. Cause: a number in (0, 1]"),
    "scale": (["--scale", "0"], "--scale 0.0 is not usable. Cause: a number in (0, 1]"),
    "head": (["--head-init-scale", "-1"], "--head-init-scale -1.0 is not usable"),
    "bn": (
        ["--bn-eval", "below"],
        "--bn-eval below is not usable. Cause: it is one of no, dropped",
    ),
    "new bn": (["--bn-eval", "all"], "--bn-eval all needs weights to start from. Cause: BatchNorm"),
    "finetune": (["--recipe", "finetune"], "--bn-eval all needs weights to start from"),
    "optimizer": (["--optimizer", "lion"], "--optimizer lion needs --lr"),
    "no optimizer": ([*TINY, "--optimizer", "adamx", "--lr", "1"], "--optimizer adamx is unknown"),
    "stem": (["--stem", "tiny"], "--stem tiny is not usable"),
    "device": (["--device", "tpu"], "--device tpu is not usable"),
    "type": (["--batch-size", "many"], "Invalid value for '--batch-size'"),
    "flag": (["--no-such-flag"], "No such option: --no-such-flag"),
    "data": (["--data", "emnist"], "--data emnist is unknown"),
    "folder": (["--data", "folder:nowhere"], "no folder nowhere"),
    "model": (["--model", "resnet19"], "--model resnet19 is unknown"),
    "keep": ([*TINY, "--keep", "nothing"], "--keep 'nothing' matches nothing"),
    "all kept": ([*TINY, "--keep", "*"], "no layer can be dropped"),
    "large batch": (["--batch-size", "4096"], "4096 is more than the 1437 training images"),
    "batch": (
        [*TINY, "--batch-scale", "8"],
        "--batch-size 16 times --batch-scale 8 is more than the 64 training images",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line_and_exit_code_2(name, run):
    flags, message = WRONG[name]
    code, _, errors = run("train", *flags)
    assert code == 2
    assert errors.startswith("ldb: error: ")
    assert errors.count("\n") == 1
    assert message in errors


@pytest.mark.parametrize(
    "package",
    ["typer", "yaml", *(pytest.param(p, marks=pytest.mark.slow) for p in ("safetensors", "timm"))],
)
def test_a_missing_extra_is_told(package, tmp_path):
    """The core installs ``ldb`` too; the first is missed at once, the second by a settings file."""
    (tmp_path / "mine.yaml").touch()
    arguments = ["ldb", "train", *(["--config", "mine.yaml"] if package == "yaml" else [])]
    code = f"import sys; sys.modules[{package!r}] = None; sys.argv = {arguments}\n"
    code += "from layerdropback.__main__ import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert f"ldb needs the package {package}" in result.stderr
    assert "pip install 'layerdropback[cli]'" in result.stderr


def test_help_version_and_nothing(run):
    for arguments in ([], ["--help"], ["train", "--help"], ["--version"]):
        code, output, errors = run(*arguments)
        assert (code, errors) == (0, "")
        assert output
    assert "Usage: ldb" in run()[1]
    code, _, errors = run("paint")
    assert code == 2
    assert errors.startswith("ldb: error: No such command 'paint'.")


def test_the_version_is_one_line_and_waits_for_nothing():
    code = "import sys; sys.modules['typer'] = None; sys.argv = ['ldb', '--version']\n"
    code += "from layerdropback.__main__ import main; main(); assert 'torch' not in sys.modules"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours, torchs, pythons = found.stdout.strip().split(", ")
    assert ours == f"ldb {layerdropback.__version__}"
    assert torchs == f"torch {metadata.version('torch')}"
    assert pythons == f"Python {platform.python_version()}"


def test_the_version_is_a_flag_among_others(run):
    assert run("--version")[1] == run("--version", "train")[1]


def seconds_of(*arguments):
    """The fastest of five: the machine may be busy with something else."""
    command = [shutil.which("ldb", path=Path(sys.executable).parent) or "ldb", *arguments]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=False)
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["train", "--drop-rate", "2"], ["train", "--x"]]
)
@pytest.mark.alone
def test_help_and_wrong_flags_answer_in_under_half_a_second(arguments):
    assert seconds_of(*arguments) < 0.5
