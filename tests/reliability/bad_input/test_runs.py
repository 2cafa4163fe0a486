"""Wrong runs to resume.

Three dots stand for anything.
"""

import pytest

from spoiled.rows import CHECKPOINTS

NEEDS = ("runs",)

RESUME = "train --resume --out runs/"
RESUME_ROWS = CHECKPOINTS | {
    "run-number": (
        "runs/run-number/checkpoints/step-000000009-...pt cannot be used. Cause: another "
        "release of layerdropback wrote it, though named ... as this one is: it has no "
        "part 'run'. Cure: use the release that wrote it; nothing was changed."
    ),
    "no-model": (
        "the checkpoint does not fit this run. Cause: Error(s) in loading state_dict for "
        "ResNet: ... Cure: resume with the release of layerdropback that wrote it."
    ),
    "model-number": (
        "the checkpoint does not fit this run. Cause: 'int' object has no attribute "
        "'items'. Cure: resume with the release of layerdropback that wrote it."
    ),
    "history-row": (
        "runs/history-row/checkpoints/step-000000009-...pt cannot be used. Cause: another "
        "release of layerdropback wrote it, though named ... as this one is: i... Cure: "
        "use the release that wrote it; nothing was changed."
    ),
    "generators": (
        "the checkpoint does not fit this run. Cause: it has no part 'torch'. Cure: resume "
        "with the release of layerdropback that wrote it."
    ),
    "ldb": (
        "the checkpoint does not fit this run. Cause: the state has no usable 'layers'. "
        "Cure: resume with the release of layerdropback that wrote it."
    ),
    "optimizer": (
        "the checkpoint does not fit this run. Cause: it has no part 'state'. Cure: resume "
        "with the release of layerdropback that wrote it."
    ),
    "lost": (
        "runs/lost has metrics of finished epochs, but no checkpoint. Cause: "
        "runs/lost/checkpoints was emptied or lost. Cure: put the checkpoints back, or "
        "begin again with --overwrite."
    ),
    "other-name": (
        "runs/other-name/checkpoints/last.pt cannot be used. Cause: another release of "
        "layerdropback than this one, ..., wrote it: its name is none that this release "
        "gives. Cure: use the release that wrote it; nothing was changed."
    ),
    "settings-typo": (
        "runs/settings-typo/settings.yaml sets 'epoks'. Cause: this release of "
        "layerdropback, ..., has no such setting. Cure: resume with the release that began "
        "it, or mend the file if it was edited."
    ),
    "settings-list": (
        "runs/settings-list/settings.yaml holds no settings. Cause: lines such as `epochs: "
        "10` are needed. Cure: mend the file."
    ),
    "settings-other": (
        "no checkpoint in runs/settings-other/checkpoints can be used. Cause: "
        "step-000000008-...pt is of another run (epochs is 10 here and 2 there; model is "
        "test_vit here and test_resnet there). Cure: put an intact one there, or begin "
        "again with --overwrite."
    ),
    "settings-empty": (
        "no checkpoint in runs/settings-empty/checkpoints can be used. Cause: "
        "step-000000008-...pt is of another run (batch_size is 64 here and 8 there; "
        "epochs... Cure: put an intact one there, or begin again with --overwrite."
    ),
    "a-file": "--out runs/a-file is a file. Cause: a run needs a folder. Cure: give another name.",
    "stopped --lr 0.3": (
        "the run in runs/stopped has other settings: --lr is 0.3 here and 0.05 there. "
        "Cause: resuming goes on with the same run. Cure: leave these flags out, or give "
        "another --out."
    ),
    "stopped --model resnet18 --epochs 9": (
        "the run in runs/stopped has other settings: --model is resnet18 here and "
        "test_resnet there; --epochs is 9 here and 2 there. Cause: resuming goes on with "
        "the same run. Cure: leave these flags out, or give another --out."
    ),
    "stopped --seed 5 --drop-rate 0.25": (
        "the run in runs/stopped has other settings: --drop-rate is 0.25 here and 0.5 "
        "there; --seed is 5 here and 0 there. Cause: resuming goes on with the same run. "
        "Cure: leave these flags out, or give another --out."
    ),
    "stopped --overwrite": (
        "--resume and --overwrite exclude each other. Cause: one keeps what is there. "
        "Cure: give one of them."
    ),
    "done --data cifar10": (
        "the run in runs/done has other settings: --data is cifar10 here and digits there. "
        "Cause: resuming goes on with the same run. Cure: leave these flags out, or give "
        "another --out."
    ),
    "machine-list --lr 3": (
        "the run in runs/machine-list has other settings: --lr is 3 here and 0.05 there. "
        "Cause: resuming goes on with the same run. Cure: leave these flags out, or give "
        "another --out."
    ),
}


@pytest.mark.parametrize("row", RESUME_ROWS)
def test_resume(row, refused):
    refused(RESUME + row, RESUME_ROWS[row])
