"""Flags as others name them, for whoever types one here.

A neighbour's name that is readable and means the same is ours, too: ``--lr``, ``--epochs``,
``--batch-size``, ``--weight-decay``, ``--clip-grad``, ``--layer-decay``, ``--workers``, ``--mixup``
and more. These are those that differ, most as theirs are abbreviations, or mean something else.
"""

from typing import Any

_TIMM = {
    "-b": "--batch-size",
    "-c": "--config",
    "-j": "--workers",
    "--aa": "--randaugment",
    "--amp": "--precision bf16",
    "--amp-dtype": "--precision",
    "--checkpoint-hist": "--checkpoints",
    "--dataset": "--data",
    "--dataset-download": "--download",
    "--decay-milestones": "--milestones, in shares of the run",
    "--decay-rate": "--gamma",
    "--drop": "--model-args drop_rate=RATE; --drop-rate is no dropout",
    "--drop-path": "--model-args drop_path_rate=RATE",
    "--experiment": "--out",
    "--grad-accum-steps": "--accumulate, the parts of --batch-size",
    "--grad-checkpointing": "--checkpointing",
    "--hflip": "--flip",
    "--img-size": "--image-size",
    "--initial-checkpoint": "--init",
    "--input-size": "--image-size",
    "--model-ema": "--ema DECAY",
    "--model-ema-decay": "--ema",
    "--model-kwargs": "--model-args",
    "--no-aug": "--no-augment",
    "--num-classes": "--classes",
    "--opt": "--optimizer",
    "--output": "--out",
    "--recovery-interval": "--checkpoint-every",
    "--reprob": "--erasing",
    "--sched": "--schedule",
    "--smoothing": "--label-smoothing",
    "--torchcompile": "--compile blocks",
}
_TORCHVISION = {
    "--auto-augment": "--randaugment",
    "--cutmix-alpha": "--cutmix",
    "--lr-gamma": "--gamma",
    "--lr-scheduler": "--schedule",
    "--lr-warmup-epochs": "--warmup-epochs",
    "--mixup-alpha": "--mixup",
    "--output-dir": "--out",
    "--random-erase": "--erasing",
    "--train-crop-size": "--image-size",
}
_HUGGING_FACE = {
    "--bf16": "--precision bf16",
    "--dataloader-num-workers": "--workers",
    "--dataset-name": "--data hf:NAME",
    "--fp16": "--precision fp16",
    "--gradient-accumulation-steps": "--accumulate, the parts of --batch-size",
    "--gradient-checkpointing": "--checkpointing",
    "--label-smoothing-factor": "--label-smoothing",
    "--learning-rate": "--lr",
    "--lr-scheduler-type": "--schedule",
    "--max-eval-samples": "--limit-test",
    "--max-grad-norm": "--clip-grad",
    "--max-train-samples": "--limit-train",
    "--model-name-or-path": "--model",
    "--num-train-epochs": "--epochs",
    "--optim": "--optimizer",
    "--overwrite-output-dir": "--overwrite",
    "--per-device-train-batch-size": "--batch-size, of all ranks together",
    "--report-to": "--tensorboard",
    "--resume-from-checkpoint": "--resume, with the run's --out",
    "--save-steps": "--checkpoint-every",
    "--save-total-limit": "--checkpoints",
    "--torch-compile": "--compile blocks",
    "--train-dir": "--data folder:DIR",
    "--use-cpu": "--device cpu",
    "--warmup-ratio": "--warmup-epochs",
    "--warmup-steps": "--warmup-epochs",
}
NEIGHBOURS = (
    ("timm", _TIMM),
    ("torchvision", _TORCHVISION),
    ("Hugging Face", _HUGGING_FACE),
)


def ours(name: str, command: Any) -> tuple[str, str] | None:
    """What a command has for a flag that it does not know: whose name it is, and our own.

    Args:
        name: as it was given, with dashes.
        command: the parser's; None is said for a flag that it lacks, too.
    """
    has = {each for param in command.params for each in (*param.opts, *param.secondary_opts)}
    for whose, names in NEIGHBOURS:
        if name in names and names[name].split()[0].strip(",;") in has:
            return whose, names[name]
    return None
