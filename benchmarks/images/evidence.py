"""Does any way to drop beat plain training of equal time? Four tasks on CIFAR-10, on two cores.

    python -m benchmarks evidence --data data/cifar10 --work data/evidence --task tune-resnet

Each task is screened with `ldb sweep` on training images held out, the learning rate of
every arm tuned; what is chosen is confirmed with `ldb compare` on fresh seeds and the test images
(--confirm NAME). The images are those of a folder with ``train/CLASS`` and ``test/CLASS``.
"""

import argparse
import subprocess
import sys
from pathlib import Path

FIRST = ("airplane", "automobile", "bird", "cat", "deer")
SECOND = ("dog", "frog", "horse", "ship", "truck")

# A narrow one, of 1.2 million parameters and 8 MFLOPs: a second for 2,500 images on two cores.
RESNET = ["--model", "resnet10t", "--stem", "original", "--model-args", "stem_width=16"]
RESNET += ["--model-args", "channels=[32, 64, 128, 256]", "--model-args", "zero_init_last=False"]
RESNET += ["--channels-last"]
VIT = ["--model", "vit_tiny_patch16_224", "--image-size", "32", "--optimizer", "adamw"]
VIT += ["--model-args", "patch_size=8", "--model-args", "embed_dim=96"]
VIT += ["--model-args", "depth=6", "--model-args", "num_heads=3"]
SHORT = ["--batch-size", "64", "--warmup-epochs", "0.5", "--threads", "2", "--start", "0"]

# Fine-tuning is short, as it mostly is: in 8 epochs the last ones bring so little that nothing that
# saves time can tell (the cards of 2026-11-23).
# Flags of all runs of a task, and the learning rates to begin with.
TASKS: dict[str, tuple[list[str], str]] = {
    "scratch-resnet": (
        [*RESNET, *SHORT, "--limit-train", "5000", "--epochs", "8"],
        "0.05,0.1,0.2",
    ),
    "scratch-vit": (
        [*VIT, *SHORT, "--limit-train", "5000", "--epochs", "8"],
        "0.0005,0.001,0.002",
    ),
    "tune-resnet": (
        [*RESNET, *SHORT, "--limit-train", "4000", "--epochs", "3"],
        "0.05,0.125,0.3125",
    ),
    "tune-vit": (
        [*VIT, *SHORT, "--limit-train", "4000", "--epochs", "3"],
        "0.0005,0.001,0.002",
    ),
}

# What fine-tuning starts from: the five other classes, all of their images.
BEFORE: dict[str, list[str]] = {
    "tune-resnet": [*RESNET, *SHORT, "--epochs", "12", "--lr", "0.1", "--drop-rate", "0"],
    "tune-vit": [*VIT, *SHORT, "--epochs", "12", "--lr", "0.001", "--drop-rate", "0"],
}

# Ways to drop, by name.
ARMS = {
    "uniform.5": "strategy=uniform,drop_rate=0.5,every=1",
    "uniform.5-paper": "strategy=uniform,drop_rate=0.5,every=2,start=1,lr_scale=2",
    "truncate.3": "strategy=truncate,depth=uniform,drop_rate=0.3,every=1",
    "truncate.3-rising": "strategy=truncate,depth=uniform,drop_rate=0.3,every=1,ramp=rising",
    "truncate.3-falling": "strategy=truncate,depth=uniform,drop_rate=0.3,every=1,ramp=falling",
    "truncate.5-rising": "strategy=truncate,depth=uniform,drop_rate=0.5,every=1,ramp=rising",
    "truncate.5-late": "strategy=truncate,depth=uniform,drop_rate=0.5,every=1,start=4",
    "truncate.5-anneal": "strategy=truncate,depth=uniform,drop_rate=0.5,every=1,anneal=0.25",
    "truncate.3-fixed": "strategy=truncate,drop_rate=0.3,every=1,depth=fixed",
    "truncate.3-power": "strategy=truncate,drop_rate=0.3,every=1,depth=power",
    # Gradual unfreezing: from the head down, all of it trained at the end.
    "unfreeze.3": "strategy=truncate,drop_rate=0.3,every=1,depth=fixed,ramp=falling",
    "unfreeze.45": "strategy=truncate,drop_rate=0.45,every=1,depth=fixed,ramp=falling",
    # The head first, while it sends nothing but noise down.
    "first.8-third": "strategy=truncate,drop_rate=0.8,every=1,depth=fixed,anneal=0.66",
    "truncate.5-fixed": "strategy=truncate,drop_rate=0.5,every=1,depth=fixed",
    "first.8": "strategy=truncate,drop_rate=0.8,every=1,depth=fixed,anneal=0.75",
    "first.6": "strategy=truncate,drop_rate=0.6,every=1,depth=fixed,anneal=0.5",
    # Gradual freezing: early layers come to rest first.
    "freeze.2": "strategy=truncate,drop_rate=0.2,every=1,depth=fixed,ramp=rising",
    "freeze.3": "strategy=truncate,drop_rate=0.3,every=1,depth=fixed,ramp=rising",
    # The same in one step, when the learning rate has come down.
    "freeze.5-late": "strategy=truncate,drop_rate=0.5,every=1,depth=fixed,start=5",
    "truncate.3-late": "strategy=truncate,depth=uniform,drop_rate=0.3,every=1,start=4",
    "truncate.5": "strategy=truncate,depth=uniform,drop_rate=0.5,every=1",
    "branch.3": "strategy=branch,drop_rate=0.3,every=1",
    "branch.5-anneal": "strategy=branch,drop_rate=0.5,every=1,anneal=0.25",
}


def flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder with train and test")
    parser.add_argument("--work", type=Path, required=True, help="for checkpoints and results")
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--arms", nargs="*", choices=ARMS, help="to screen; all by default")
    parser.add_argument("--confirm", nargs="*", choices=ARMS, default=[], help="on the test images")
    parser.add_argument("--first", type=int, default=100, help="the first of them, to confirm")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each arm")


def run(args: argparse.Namespace) -> None:
    """Screen a task, or confirm what was chosen."""
    more, rates = TASKS[args.task]
    work, seeds = args.work, str(args.seeds)
    if args.task in BEFORE:
        part = five(args.data, work / "second", SECOND)
        more = [*more, "--init", str(checkpoint(args.task, args.data, work))]
    else:
        part = args.data
    common = ["--data", f"folder:{part}", *more, "--lr-grid", rates, "--resume"]
    if args.confirm:
        chosen = [f"{name}:{ARMS[name]}" for name in args.confirm]
        out = work / f"{args.task}-confirm-{args.first}"
        # Fresh seeds: none that the screening or the tuning has seen.
        fresh = ["--drop-rate", "0", "--seed", str(args.first), "--seeds", seeds]
        fresh += ["--tune-seeds", "2"]
        ldb("compare", *common, *fresh, *as_flags(chosen), "--out", str(out))
    else:
        chosen = [f"{name}:{ARMS[name]}" for name in args.arms or ARMS]
        out = work / f"{args.task}-screen"
        ldb("sweep", *common, "--seeds", seeds, *as_flags(chosen), "--out", str(out))


def as_flags(arms: list[str]) -> list[str]:
    return [word for arm in arms for word in ("--arm", arm)]


def checkpoint(task: str, data: Path, work: Path) -> Path:
    """Weights trained on the first five classes; made where they are not there yet."""
    first = five(data, work / "first", FIRST)
    out = work / f"{task}-before"
    weights = out / "weights.safetensors"
    if not weights.exists():
        ldb("train", "--data", f"folder:{first}", *BEFORE[task], "--out", str(out), "--resume")
    return weights


def five(data: Path, folder: Path, classes: tuple[str, ...]) -> Path:
    """A folder with links to some classes of another."""
    for split in ("train", "test"):
        for name in classes:
            link = folder / split / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to((data / split / name).resolve(), target_is_directory=True)
    return folder


def ldb(*command: str) -> None:
    print("ldb", *command, flush=True)
    code = subprocess.run([sys.executable, "-m", "layerdropback", *command]).returncode
    if code:
        sys.exit(code)
