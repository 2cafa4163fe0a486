"""Wrong images, and wrong names of data.

Three dots stand for anything.
"""

import pytest

NEEDS = ("images", "runs", "weights")

DATA = "train --model test_resnet --epochs 1 --batch-size 4 --out new --data "
DATA_ROWS = {
    "folder:images/empty": (
        "no folder images/empty/train. Cause: the layout is DIR/train/<class>/* and "
        "DIR/test/<class>/* (or DIR/val/<class>/*). Cure: make it, or give another folder."
    ),
    "folder:images/flat": (
        "no folder images/flat/train. Cause: the layout is DIR/train/<class>/* and "
        "DIR/test/<class>/* (or DIR/val/<class>/*). Cure: make it, or give another folder."
    ),
    "folder:images/no-test": (
        "no folder images/no-test/test. Cause: the layout is DIR/train/<class>/* and "
        "DIR/test/<class>/* (or DIR/val/<class>/*). Cure: make it, or give another folder."
    ),
    "folder:images/no-train": (
        "no folder images/no-train/train. Cause: the layout is DIR/train/<class>/* and "
        "DIR/test/<class>/* (or DIR/val/<class>/*). Cure: make it, or give another folder."
    ),
    "folder:images/one-class": (
        "images/one-class/train has only the class 'cat'. Cause: two or more are needed. "
        "Cure: add folders."
    ),
    "folder:images/lost-class": (
        "class 'dog' is in images/lost-class/train, but not in images/lost-class/test. "
        "Cause: both need the same classes. Cure: add or remove the folder, or rename it."
    ),
    "folder:images/new-class": (
        "class 'bird' is in images/new-class/train, but not in images/new-class/test. "
        "Cause: both need the same classes, and 'dog' is in images/new-class/test alone. "
        "Cure: add or remove the folder, or rename it."
    ),
    "folder:images/empty-class": (
        "class folder images/empty-class/train/bird has no images. Cause: none of its "
        "files ends in .bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp. "
        "Cure: add images or remove the folder."
    ),
    "folder:images/renamed": (
        "class 'Dog' is in images/renamed/test, but not in images/renamed/train. Cause: "
        "both need the same classes, and 'dog' is in images/renamed/train alone. Cure: add "
        "or remove the folder, or rename it."
    ),
    "folder:images/files": (
        "no folder images/files/train. Cause: the layout is DIR/train/<class>/* and "
        "DIR/test/<class>/* (or DIR/val/<class>/*). Cure: make it, or give another folder."
    ),
    "folder:images/no-folders": (
        "images/no-folders/train has no class folders. Cause: the layout is "
        "DIR/train/<class>/* and DIR/test/<class>/* (or DIR/val/<class>/*). Cure: add them."
    ),
    "folder:images/notes": (
        "class folder images/notes/train/cat has no images. Cause: none of its files ends "
        "in .bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp. Cure: add "
        "images or remove the folder."
    ),
    "folder:images/zero-bytes": (
        "cannot read the image images/zero-bytes/train/dog/9.png. Cause: cannot identify "
        "image file 'images/zero-bytes/train/dog/9.png'. Cure: replace it, or remove it "
        "before a run begins."
    ),
    "folder:images/truncated": (
        "cannot read the image images/truncated/train/dog/9.png. Cause: image file is "
        "truncated. Cure: replace it, or remove it before a run begins."
    ),
    "folder:images/text": (
        "cannot read the image images/text/train/dog/9.png. Cause: cannot identify image "
        "file 'images/text/train/dog/9.png'. Cure: replace it, or remove it before a run "
        "begins."
    ),
    "folder:images/html": (
        "cannot read the image images/html/train/dog/9.png. Cause: cannot identify image "
        "file 'images/html/train/dog/9.png'. Cure: replace it, or remove it before a run "
        "begins."
    ),
    "folder:images/bomb": (
        "cannot read the image images/bomb/train/dog/9.png. Cause: Image size (3600000000 "
        "pixels) exceeds limit of 178956970 pixels, could be decompression bomb DOS "
        "attack. Cure: replace it, or remove it before a run begins."
    ),
    "folder:images/svg": (
        "cannot read the image images/svg/train/dog/9.png. Cause: cannot identify image "
        "file 'images/svg/train/dog/9.png'. Cure: replace it, or remove it before a run "
        "begins."
    ),
    "folder:images/wide": (
        "images/wide/train/cat/0.png has 8x6 pixels. Cause: square images are needed. "
        "Cure: give --image-size to resize and crop them."
    ),
    "folder:images/large": (
        "images/large/train/cat/0.png has 80x80 pixels. Cause: above 64 images are not "
        "held in memory, and may be of any size. Cure: give --image-size, or --in-memory "
        "yes if all have this one."
    ),
    "folder:images/mixed": (
        "images/mixed/train/dog/9.png has 9x9 pixels, others have 8x8. Cause: images of "
        "one size are needed. Cure: give --image-size to resize them."
    ),
    "folder:images/deep": (
        "images/deep/train/dog/9.png has more than 8 bits a channel. Cause: images are "
        "held as bytes. Cure: convert it to 8 bits."
    ),
    "folder:images/link": (
        "cannot read the image images/link/train/dog/9.png. Cause: [Errno 2] No such file "
        "or directory: 'images/link/train/dog/9.png'. Cure: replace it, or remove it "
        "before a run begins."
    ),
    "folder:images/unicode": (
        "images/unicode/train has two folders of the class 'caf\u00e9'. Cause: 'cafe\\u0301' "
        "and 'caf\\xe9' differ in their Unicode form alone. Cure: put their images into "
        "one of them."
    ),
    "folder:images/nowhere": (
        "no folder images/nowhere. Cause: --data folder:DIR names it. Cure: give another."
    ),
    "'folder:images/no images'": (
        "class folder images/no images/test/cat has no images. Cause: none of its files "
        "ends in .bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp. Cure: add "
        "images or remove the folder."
    ),
    "''": (
        "--data is unknown. Cause: it is 'digits', 'digits:0123', 'cifar10', 'cifar100', "
        "'svhn', 'mnist', 'fashion-mnist', 'folder:DIR' or 'hf:NAME'. Cure: give one of "
        "these."
    ),
    "folder:": (
        "--data folder: is unknown. Cause: it is 'digits', 'digits:0123', 'cifar10', "
        "'cifar100', 'svhn', 'mnist', 'fashion-mnist', 'folder:DIR' or 'hf:NAME'. Cure: "
        "did you mean 'folder:DIR'?."
    ),
    "hf:": (
        "--data hf: is unknown. Cause: it is 'digits', 'digits:0123', 'cifar10', "
        "'cifar100', 'svhn', 'mnist', 'fashion-mnist', 'folder:DIR' or 'hf:NAME'. Cure: "
        "did you mean 'hf:NAME'?."
    ),
    "digits:": (
        "--data digits: is unknown. Cause: each character after the colon is a digit whose "
        "images are used. Cure: give two or more, each once, such as digits:01234."
    ),
    "digits:00": (
        "--data digits:00 is unknown. Cause: each character after the colon is a digit "
        "whose images are used. Cure: give two or more, each once, such as digits:01234."
    ),
    "digits:0": (
        "--data digits:0 is unknown. Cause: each character after the colon is a digit "
        "whose images are used. Cure: give two or more, each once, such as digits:01234."
    ),
    "digits:ab": (
        "--data digits:ab is unknown. Cause: each character after the colon is a digit "
        "whose images are used. Cure: give two or more, each once, such as digits:01234."
    ),
    "cifar10:3": (
        "--data cifar10:3 is unknown. Cause: it is 'digits', 'digits:0123', 'cifar10', "
        "'cifar100', 'svhn', 'mnist', 'fashion-mnist', 'folder:DIR' or 'hf:NAME'. Cure: "
        "did you mean 'cifar10'?."
    ),
    "cifar-10": (
        "--data cifar-10 is unknown. Cause: it is 'digits', 'digits:0123', 'cifar10', "
        "'cifar100', 'svhn', 'mnist', 'fashion-mnist', 'folder:DIR' or 'hf:NAME'. Cure: "
        "did you mean 'cifar10'?."
    ),
    "MNIST": (
        "--data MNIST is unknown. Cause: it is 'digits', 'digits:0123', 'cifar10', "
        "'cifar100', 'svhn', 'mnist', 'fashion-mnist', 'folder:DIR' or 'hf:NAME'. Cure: "
        "did you mean 'mnist'?."
    ),
    "imagenet": (
        "--data imagenet is unknown. Cause: it is 'digits', 'digits:0123', 'cifar10', "
        "'cifar100', 'svhn', 'mnist', 'fashion-mnist', 'folder:DIR' or 'hf:NAME'. Cure: "
        "give one of these."
    ),
    "images/good": (
        "--data images/good is unknown. Cause: it is 'digits', 'digits:0123', 'cifar10', "
        "'cifar100', 'svhn', 'mnist', 'fashion-mnist', 'folder:DIR' or 'hf:NAME'. Cure: "
        "for the folder of that name give 'folder:images/good'."
    ),
    "hf:images/empty": (
        "cannot read hf:images/empty. Cause: The directory at ...images/empty doesn't "
        "contain any data files. Cure: correct it, or give another data set."
    ),
    "hf:images/nowhere": (
        "no hf:images/nowhere in ... Cause: it is no folder either. Cure: give --download, "
        "--data-dir with the folder that has it, or hf:FOLDER."
    ),
    "folder:weights/good.safetensors": (
        "no folder weights/good.safetensors. Cause: --data folder:DIR names it. Cure: give another."
    ),
    "folder:images/good/train/cat/0.png": (
        "no folder images/good/train/cat/0.png. Cause: --data folder:DIR names it. Cure: "
        "give another."
    ),
    "cifar10 --data-dir nowhere": (
        "no cifar10 in nowhere. Cause: there is no nowhere/cifar-10-batches-py. Cure: give "
        "--download, or --data-dir with the folder that has it."
    ),
    "mnist --data-dir nowhere": (
        "no mnist in nowhere. Cause: there is no nowhere/MNIST/raw. Cure: give --download, "
        "or --data-dir with the folder that has it."
    ),
    "svhn --data-dir nowhere": (
        "no svhn in nowhere. Cause: there is no nowhere/train_32x32.mat. Cure: give "
        "--download, or --data-dir with the folder that has it."
    ),
    "fashion-mnist --data-dir runs/a-file": (
        "no fashion-mnist in runs/a-file. Cause: there is no runs/a-file/FashionMNIST/raw. "
        "Cure: give --download, or --data-dir with the folder that has it."
    ),
    "folder:images/good --limit-train 3": (
        "--batch-size 4 is more than the 3 training images. Cause: there would be no "
        "batch. Cure: use a smaller one."
    ),
    "folder:images/good --batch-size 9": (
        "--batch-size 9 is more than the 8 training images. Cause: there would be no "
        "batch. Cure: use a smaller one."
    ),
    "folder:images/wide --in-memory no": (
        "images/wide/train/cat/0.png has 8x6 pixels. Cause: square images are needed. "
        "Cure: give --image-size to resize and crop them."
    ),
    "folder:~nobody-here/x": (
        "--data folder:~nobody-here/x is not usable. Cause: Could not determine home "
        "directory. Cure: write the path out."
    ),
    "'folder:images/good/'train": (
        "no folder images/good/train/train. Cause: the layout is DIR/train/<class>/* and "
        "DIR/test/<class>/* (or DIR/val/<class>/*). Cure: make it, or give another folder."
    ),
    "folder:images/good --image-size 0": (
        "--image-size 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
}


@pytest.mark.parametrize("row", DATA_ROWS)
def test_data(row, refused):
    refused(DATA + row, DATA_ROWS[row])
