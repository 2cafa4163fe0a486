"""``ldb paper``: the paper's experiments (arXiv 2412.18027) as commands of this tool, by name.

Each is a list of `ldb` commands and nothing else, so that a reader can run, change and repeat them.
What the paper leaves out comes with them: the controls of equal time, and seeds.
"""

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError, explain
from ..runs.reasons import require

Run = Callable[[list[str]], None]

# Stands in the commands for the folder that is written to.
_OUT = "OUT"

# The paper's models, as timm names them; two of its sizes are not said and are ours.
_TRANSFORMERS = ("vit_tiny_patch16_224", "swin_tiny_patch4_window7_224")
_MODELS = (*_TRANSFORMERS, "efficientnet_b0", "dla34", "resnet50", "densenet121")

# Small enough to train in seconds on two cores: one with convolutions, and one with attention that
# keeps its patches of 16 pixels, by which its images must be divisible.
_TINY_MODELS = {"test_resnet": "", "test_vit": "--image-size 32 --stem original"}
_TINY = "--data digits --epochs 4 --batch-size 32 --no-flip --rotate 0 --seeds 2 --limit-train 720"
_DENSENET = "--model-args growth_rate=8 --model-args 'block_config=[2, 2, 2, 2]'"
_STEPS = "--batch-size 4 --pairs 3 --rates 0.5"
_START = "--data digits --limit-train 360 --epochs 4 --drop-rate 0"


@dataclass(frozen=True)
class Experiment:
    """One of the paper's experiments.

    Attributes:
        says: what the paper shows there.
        full: its commands, on a GPU with the data present.
        tiny: the same end to end in minutes on two cores; its numbers say nothing.
    """

    says: str
    full: Sequence[str]
    tiny: Sequence[str]


def _profile(name: str, more: str) -> str:
    shared = f"--classes 10 --image-size 32 {more}"
    return f"profile --model {name} {shared} --out {_OUT}/{name} --overwrite"


def _sweep(name: str, more: str) -> str:
    ways = f"--strategies uniform --every 2 {more}"
    return f"sweep --recipe paper-scratch --model {name} {ways} --out {_OUT}/{name} --resume"


def _compare(recipe: str, name: str, more: str, place: str = "") -> str:
    folder = f"{_OUT}/{place or name}"
    return f"compare --recipe paper-{recipe} --model {name} {more} --out {folder} --resume"


def _families(recipe: str, more: str = "") -> list[str]:
    """All six on both data sets, and a report of them."""
    cases = [(data, name) for data in ("cifar10", "cifar100") for name in _MODELS]
    runs = [
        _compare(recipe, name, f"{more} --data {data} --seeds 3", f"{data}/{name}")
        for data, name in cases
    ]
    return [*runs, _report(f"{data}/{name}" for data, name in cases)]


def _report(places: Iterable[str]) -> str:
    return f"report {' '.join(f'{_OUT}/{place}' for place in places)} --out {_OUT}"


def _weights_first(name: str, size: str) -> list[str]:
    """Weights of some of the digits' images begin the training on others."""
    weights = f"{_OUT}/{name}-weights"
    more = f"--init {weights}/weights.safetensors --image-size 16 {_TINY} {size}"
    train = f"train --model {name} {_START} {size} --out {weights} --resume"
    return [train, _compare("finetune", name, more)]


_RATES = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9"
EXPERIMENTS = {
    "figure1": Experiment(
        "where a step's time goes: backward is 87.2 % of ResNet-50's and 82.3 % of DenseNet-121's",
        full=[
            _profile(name, "--batch-size 128 --channels-last")
            for name in ("resnet50", "densenet121")
        ],
        tiny=[
            _profile("test_resnet", _STEPS),
            _profile("densenet121", f"{_STEPS} {_DENSENET}"),
        ],
    ),
    "figure3": Experiment(
        "drop rate against accuracy and speed, DLA on CIFAR-10",
        full=[_sweep("dla34", f"--data cifar10 --rates {_RATES} --seeds 3")],
        tiny=[_sweep("test_resnet", f"{_TINY} --rates 0.25,0.75")],
    ),
    "figure4": Experiment(
        "loss curves, DenseNet-121 on CIFAR-10",
        full=[_compare("scratch", "densenet121", "--data cifar10 --seeds 1")],
        tiny=[_compare("scratch", "densenet121", f"{_TINY} {_DENSENET}")],
    ),
    "scratch": Experiment(
        "from scratch: 23.3 % less time on average, accuracy kept or better",
        full=_families("scratch"),
        tiny=[
            *(_compare("scratch", name, f"{_TINY} {size}") for name, size in _TINY_MODELS.items()),
            _report(_TINY_MODELS),
        ],
    ),
    "finetune": Experiment(
        "fine-tuning: 16.93 % less time on average, accuracy kept or better",
        full=_families("finetune", "--pretrained"),
        tiny=[
            *(line for case in _TINY_MODELS.items() for line in _weights_first(*case)),
            _report(_TINY_MODELS),
        ],
    ),
}

SCALES = ("full", "tiny")


def commands(name: str, scale: str, out: Path, more: Sequence[str] = ()) -> list[list[str]]:
    """The commands of an experiment.

    Args:
        name: of `EXPERIMENTS`.
        scale: of `SCALES`.
        out: a folder for what they write.
        more: flags for every command but ``report``; they come last.

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
    require(scale in SCALES, f"--scale {scale}", f"it is one of {', '.join(SCALES)}")
    found = []
    for line in getattr(EXPERIMENTS[name], scale):
        command = [word.replace(_OUT, str(out)) for word in shlex.split(line)]
        found.append(command if command[0] == "report" else [*command, *more])
    return found


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
