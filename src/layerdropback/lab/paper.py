"""``ldb paper``: the paper's experiments (arXiv 2412.18027) as commands of this tool, by name.

Each is a list of `ldb` commands and nothing else, so that a reader can run, change and repeat them.
What the paper leaves out comes with them: the controls of equal time, and seeds.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError, explain

Run = Callable[[list[str]], None]

# The paper's models, as timm names them; two of its sizes are not said and are ours.
_MODELS = {
    "vit": "vit_tiny_patch16_224",
    "swin": "swin_tiny_patch4_window7_224",
    "efficientnet": "efficientnet_b0",
    "dla": "dla34",
    "resnet": "resnet50",
    "densenet": "densenet121",
}

# Small enough to train in seconds on two cores, one with convolutions and one with attention.
_TINY_MODELS = {"resnet": "test_resnet", "vit": "test_vit"}
_TINY = ["--data", "digits", "--epochs", "4", "--batch-size", "32", "--no-flip", "--rotate", "0"]
_TINY += ["--seeds", "2", "--limit-train", "720"]
_DENSENET = ["--model-args", "growth_rate=8", "--model-args", "block_config=[2, 2, 2, 2]"]


@dataclass(frozen=True)
class Experiment:
    """One of the paper's experiments.

    Attributes:
        says: what the paper shows there.
        full: its commands, on a GPU with the data present.
        tiny: the same end to end in minutes on two cores; its numbers say nothing.
    """

    says: str
    full: Callable[[Path], list[list[str]]]
    tiny: Callable[[Path], list[list[str]]]


def _figure1(out: Path) -> list[list[str]]:
    return [
        _profile(name, out, ["--image-size", "32", "--batch-size", "128", "--channels-last"])
        for name in ("resnet50", "densenet121")
    ]


def _figure1_tiny(out: Path) -> list[list[str]]:
    small = ["--image-size", "32", "--batch-size", "4", "--pairs", "3", "--rates", "0.5"]
    return [_profile(name, out, small) for name in ("resnet50", "densenet121")]


def _profile(name: str, out: Path, more: Sequence[str]) -> list[str]:
    where = ["--out", str(out / name), "--overwrite"]
    return ["profile", "--model", name, "--classes", "10", *more, *where]


def _figure3(out: Path) -> list[list[str]]:
    rates = ["--rates", "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9", "--every", "2", "--seeds", "3"]
    return [_sweep("dla34", out, ["--data", "cifar10", *rates])]


def _figure3_tiny(out: Path) -> list[list[str]]:
    return [_sweep("test_resnet", out, [*_TINY, "--rates", "0.25,0.75", "--every", "2"])]


def _sweep(name: str, out: Path, more: Sequence[str]) -> list[str]:
    ways = ["--strategies", "uniform"]
    return ["sweep", "--recipe", "paper-scratch", "--model", name, *ways, *more, *_into(out / name)]


def _figure4(out: Path) -> list[list[str]]:
    return [_compare("densenet121", out, ["--data", "cifar10", "--seeds", "1"])]


def _figure4_tiny(out: Path) -> list[list[str]]:
    return [_compare("densenet121", out, [*_TINY, *_DENSENET])]


def _scratch(out: Path) -> list[list[str]]:
    runs = [
        _compare(name, out / data, ["--data", data, "--seeds", "3"])
        for data in ("cifar10", "cifar100")
        for name in _MODELS.values()
    ]
    return [*runs, _report(runs, out)]


def _scratch_tiny(out: Path) -> list[list[str]]:
    runs = [_compare(name, out, [*_TINY, *_size(name)]) for name in _TINY_MODELS.values()]
    return [*runs, _report(runs, out)]


def _finetune(out: Path) -> list[list[str]]:
    runs = [
        _compare(name, out / data, ["--pretrained", "--data", data, "--seeds", "3"], "finetune")
        for data in ("cifar10", "cifar100")
        for name in _MODELS.values()
    ]
    return [*runs, _report(runs, out)]


def _finetune_tiny(out: Path) -> list[list[str]]:
    """Weights of some of the digits' images begin the training on others."""
    runs, steps = [], []
    for name in _TINY_MODELS.values():
        first = out / f"{name}-weights"
        start = ["--data", "digits", "--limit-train", "360", "--epochs", "4", "--drop-rate", "0"]
        steps.append(["train", "--model", name, *start, *_size(name), *_into(first)])
        more = ["--init", str(first / "weights.safetensors"), "--image-size", "16"]
        more = [*_TINY, *more, *_size(name)]
        runs.append(_compare(name, out, more, "finetune"))
        steps.append(runs[-1])
    return [*steps, _report(runs, out)]


def _compare(name: str, out: Path, more: Sequence[str], recipe: str = "scratch") -> list[str]:
    return ["compare", "--recipe", f"paper-{recipe}", "--model", name, *more, *_into(out / name)]


def _size(name: str) -> list[str]:
    """A vision transformer needs images that its patches divide."""
    return ["--image-size", "32"] if "vit" in name else []


def _into(folder: Path) -> list[str]:
    return ["--out", str(folder), "--resume"]


def _report(runs: Sequence[Sequence[str]], out: Path) -> list[str]:
    folders = [run[list(run).index("--out") + 1] for run in runs]
    return ["report", *folders, "--out", str(out)]


EXPERIMENTS = {
    "figure1": Experiment(
        "where a step's time goes: backward is 87.2 % of ResNet-50's and 82.3 % of DenseNet-121's",
        _figure1,
        _figure1_tiny,
    ),
    "figure3": Experiment(
        "drop rate against accuracy and speed, DLA on CIFAR-10", _figure3, _figure3_tiny
    ),
    "figure4": Experiment("loss curves, DenseNet-121 on CIFAR-10", _figure4, _figure4_tiny),
    "scratch": Experiment(
        "from scratch: 23.3 % less time on average, accuracy kept or better",
        _scratch,
        _scratch_tiny,
    ),
    "finetune": Experiment(
        "fine-tuning: 16.93 % less time on average, accuracy kept or better",
        _finetune,
        _finetune_tiny,
    ),
}

SCALES = ("full", "tiny")


def commands(name: str, scale: str, out: Path, more: Sequence[str] = ()) -> list[list[str]]:
    """The commands of an experiment.

    Args:
        name: of `EXPERIMENTS`.
        scale: of `SCALES`.
        out: a folder for what they write.
        more: flags for every command but ``report``; they go before the experiment's own.

    Raises:
        UsageError: there is no such experiment or scale.

    Example:
        >>> for command in commands("figure4", "full", Path("runs/f4"), ["--data-dir", "data"]):
        ...     print("ldb", shlex.join(command))
        ldb compare --recipe paper-scratch --model densenet121 --data cifar10 --seeds 1 \
--out runs/f4/densenet121 --resume --data-dir data
    """
    if name not in EXPERIMENTS:
        cure = f"give one of {', '.join(EXPERIMENTS)}"
        raise UsageError(explain(f"{name} is unknown", "no such experiment is known", cure))
    if scale not in SCALES:
        cause = f"it is one of {', '.join(SCALES)}"
        raise UsageError(explain(f"--scale {scale} is not usable", cause, "give one"))
    experiment = EXPERIMENTS[name]
    found = (experiment.full if scale == "full" else experiment.tiny)(out)
    return [command if command[0] == "report" else [*command, *more] for command in found]


def reproduce(
    name: str, scale: str, out: Path | None, more: Sequence[str], run: Run, dry: bool = False
) -> None:
    """Run an experiment's commands one after the other; those that are done are gone over fast.

    Args:
        name: see `commands`, as are `scale` and `more`.
        scale: full size or tiny.
        out: a folder; ``runs/paper-NAME`` (and ``-tiny``) by default.
        more: flags for the commands.
        run: runs ``ldb`` with such arguments.
        dry: only say what would be run.

    Raises:
        UsageError: see `commands`.
    """
    folder = out or Path("runs") / f"paper-{name}{'-tiny' if scale == 'tiny' else ''}"
    steps = commands(name, scale, folder, more)
    print(f"{name}: the paper shows {EXPERIMENTS[name].says}", flush=True)
    if scale == "tiny":
        print("tiny: everything runs, and its numbers say nothing of the method", flush=True)
    for step in steps:
        print(f"\n$ ldb {shlex.join(step)}", flush=True)
        if not dry:
            run(step)
