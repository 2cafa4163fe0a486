"""Wrong flags beside a task of one's own, and arms for it.

Three dots stand for anything.
"""

import pytest

NEEDS = ("studies", "settings", "runs", "records")

STUDY = "compare --seeds 1 --out new --task wrong_studies:"
STUDY_ROWS = {
    "good --task-arg share": (
        "--task-arg 'share' is not usable. Cause: it is KEY=VALUE,... or "
        "NAME:KEY=VALUE,..., with settings as keys. Cure: see ldb train --help."
    ),
    "good --task-arg share=2": (
        "--drop-rate 2 is not usable. Cause: it is the share that is skipped. Cure: give a "
        "number in [0, 1), 0 for plain training."
    ),
    "good --task-arg shar=0.2": (
        "--task wrong_studies:good cannot be made. Cause: got an unexpected keyword "
        "argument 'shar'. Cure: correct --task-arg KEY=VALUE."
    ),
    "good --task-arg share=0.2 --task-arg share=0.3": (
        "--task-arg 'share=0.3' is not usable. Cause: share is given twice. Cure: give it once."
    ),
    "good --task-arg share=0.2,share=0.3": (
        "--task-arg 'share=0.2,share=0.3' is not usable. Cause: share is given twice. "
        "Cure: give it once."
    ),
    "good --task-arg share=2001-13-45": (
        "--task-arg 'share=2001-13-45' is not usable. Cause: '2001-13-45' is no value. "
        "Cure: give another."
    ),
    "good --task-arg 'share=!!int x'": (
        "--task-arg 'share=!!int x' is not usable. Cause: '!!int x' is no value. Cure: "
        "give another."
    ),
    "good --task-arg 'share=[1'": (
        "--task-arg 'share=[1' is not usable. Cause: '[1' is no value. Cure: give another."
    ),
    "good --task-arg =1": (
        "--task-arg '=1' is not usable. Cause: it is KEY=VALUE,... or NAME:KEY=VALUE,..., "
        "with settings as keys. Cure: see ldb train --help."
    ),
    "good --arm lr=0": (
        "--arm 'lr=0' sets lr to 0. Cause: a number above 0, up to 1e+30, is needed. Cure: "
        "give one."
    ),
    "good --arm lr=.nan": (
        "--arm 'lr=.nan' sets lr to nan. Cause: a number above 0, up to 1e+30, is needed. "
        "Cure: give one."
    ),
    "good --arm lr=.inf": (
        "--arm 'lr=.inf' sets lr to inf. Cause: a number above 0, up to 1e+30, is needed. "
        "Cure: give one."
    ),
    "good --arm epochs=1e30": (
        "--arm 'epochs=1e30' sets epochs to 1e+30. Cause: a number above 0, up to "
        "2.14748e+09, is needed. Cure: give one."
    ),
    "good --arm epochs=-1": (
        "--arm 'epochs=-1' sets epochs to -1. Cause: a number above 0, up to 2.14748e+09, "
        "is needed. Cure: give one."
    ),
    "good --arm x=1": (
        "--arm is not usable with the task lines. Cause: it has no way(). Cure: give its "
        "arms in Python."
    ),
    "good --arm half:lr=0.1": (
        "two arms are called 'half'. Cause: the tables would not tell them apart. Cure: "
        "give another NAME: before one's settings."
    ),
    "good --arm =": (
        "--arm '=' is not usable. Cause: it is KEY=VALUE,... or NAME:KEY=VALUE,..., with "
        "settings as keys. Cure: see ldb train --help."
    ),
    "good --arm lr=1,lr=2": (
        "--arm 'lr=1,lr=2' is not usable. Cause: lr is given twice. Cure: give it once."
    ),
    "good --seeds 0": (
        "--seeds 0 is not usable. Cause: a whole number from 1 to 1000 is needed. Cure: give one."
    ),
    "good --seeds -3": (
        "--seeds -3 is not usable. Cause: a whole number from 1 to 1000 is needed. Cure: give one."
    ),
    "good --seeds 100000000000": (
        "--seeds 100000000000 is not usable. Cause: a whole number from 1 to 1000 is "
        "needed. Cure: give one."
    ),
    "good --seed -1": (
        "--seed -1 is not usable. Cause: it keys the masks. Cure: give an integer in [0, 2**64)."
    ),
    "good --seed 99999999999999999999999": (
        "--seed 99999999999999999999999 is not usable. Cause: it keys the masks. Cure: "
        "give an integer in [0, 2**64)."
    ),
    "good --threads 0": (
        "--threads 0 is not usable. Cause: a whole number from 1 to 1024 is needed. Cure: give one."
    ),
    "good --threads 99999999": (
        "--threads 99999999 is not usable. Cause: a whole number from 1 to 1024 is needed. "
        "Cure: give one."
    ),
    "good --margin nan": (
        "--margin nan is not usable. Cause: points in (0, 100] are needed. Cure: give one."
    ),
    "good --margin 0": (
        "--margin 0 is not usable. Cause: points in (0, 100] are needed. Cure: give one."
    ),
    "good --target 101": (
        "--target 101.0 is not usable. Cause: a percentage in (0, 100] is needed. Cure: give one."
    ),
    "good --lr-grid 1,2": (
        "--lr-grid 1,2 is not usable. Cause: three learning rates above 0, or more, are "
        "needed. Cure: give one."
    ),
    "good --lr-grid 3,2,1": (
        "--lr-grid 3,2,1 is not usable. Cause: they are to rise. Cure: give one."
    ),
    "good --lr-grid a,b,c": (
        "--lr-grid a,b,c is not usable. Cause: numbers with commas between them are "
        "needed. Cure: give some."
    ),
    "good --lr-grid ''": (
        "--lr-grid is not usable. Cause: numbers with commas between them are needed. "
        "Cure: give some."
    ),
    "good --tune-seeds 0 --lr-grid 0.1,0.2,0.3": (
        "--tune-seeds 0 is not usable. Cause: a whole number from 1 to 1000 is needed. "
        "Cure: give one."
    ),
    "good --model resnet18": (
        "--model is not usable with --task. Cause: it is a setting of ldb train's images. "
        "Cure: give the task its own, by --task-arg KEY=VALUE or --arm."
    ),
    "good --config settings/typo.yaml": (
        "--config is not usable with --task. Cause: it is a setting of ldb train's images. "
        "Cure: give the task its own, by --task-arg KEY=VALUE or --arm."
    ),
    "good --resume --overwrite": (
        "--resume and --overwrite exclude each other. Cause: one keeps what is there. "
        "Cure: give one of them."
    ),
    "good --out runs/done": (
        "--out runs/done is not empty. Cause: something would be lost. Cure: give another "
        "folder, or --resume, or --overwrite."
    ),
    "good --resume --out runs/done": (
        "--out runs/done holds no comparison. Cause: a run of ldb train is in it. Cure: "
        "give another folder."
    ),
    "good --resume --out runs/others": (
        "--out runs/others holds no comparison. Cause: something else is in it. Cure: give "
        "another folder."
    ),
    "starts_nothing --overwrite --out a-comparison": (
        "start() of the task lines returned NoneType. Cause: the lab drives a "
        "layerdropback.lab.Run. Cure: return an object of a subclass of it."
    ),
    "drops_first --overwrite --out a-comparison": (
        "the first arm, 'half', drops layers. Cause: it is the plain training that all "
        "others are compared with. Cure: put plain training first."
    ),
    "no_test --overwrite --out a-comparison": (
        "the task NoTest has test=0. Cause: a whole number from 1 on is needed. Cure: set it."
    ),
    "good --resume --out a-comparison --margin 2": (
        "a-comparison/comparison.json is of another run (margin is 2.0 here and 0.5 "
        "there). Cause: one record cannot hold both. Cure: leave the flags out that "
        "differ, or give another --out."
    ),
    "good --out a-comparison": (
        "--out a-comparison is not empty. Cause: something would be lost. Cure: give "
        "another folder, or --resume, or --overwrite."
    ),
}


@pytest.mark.parametrize("row", STUDY_ROWS)
def test_study(row, refused):
    refused(STUDY + row, STUDY_ROWS[row])
