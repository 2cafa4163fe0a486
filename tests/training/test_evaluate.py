import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

from layerdropback import UsageError
from layerdropback.training.deploy import load_for_evaluation
from layerdropback.training.evaluate import Score, score
from layerdropback.training.export import export_weights
from layerdropback.training.models import ModelSpec, build_model

CPU = torch.device("cpu")


def make_batches(classes, sizes=(4, 4, 3)):
    return [(torch.randn(n, 2, 3, 3), torch.randint(classes, (n,))) for n in sizes]


def make_model(classes):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(18, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, classes)
    )


@pytest.mark.parametrize("classes", [2, 5, 6, 10])
def test_the_score_is_that_of_the_whole_split(classes):
    model, batches = make_model(classes), make_batches(classes)
    found = score(model, iter(batches), CPU)
    images, labels = map(torch.cat, zip(*batches, strict=True))
    with torch.no_grad():
        outputs = model.eval()(images)
    right = [row.argsort(descending=True).tolist() for row in outputs]
    ranks = [row.index(label) for row, label in zip(right, labels.tolist(), strict=True)]
    assert found.images == 11
    assert found.loss == pytest.approx(functional.cross_entropy(outputs, labels).item(), rel=1e-6)
    assert found.accuracy == pytest.approx(100 * sum(rank == 0 for rank in ranks) / 11)
    if classes <= 5:
        assert found.top5 is None
    else:
        assert found.top5 == pytest.approx(100 * sum(rank < 5 for rank in ranks) / 11)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.loss = 0.0


def test_the_score_has_the_bits_of_batch_by_batch():
    model, batches = make_model(7), make_batches(7)
    loss = 0.0
    model.eval()
    for images, labels in batches:
        with torch.no_grad():
            loss += functional.cross_entropy(model(images), labels, reduction="sum").item()
    assert score(model, batches, CPU).loss == loss / 11


def test_the_model_is_left_as_it_was():
    model = make_model(3).train()
    model[2].eval()  # a layer that is frozen
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    seen = []
    model.register_forward_hook(lambda *_: seen.append(any(m.training for m in model.modules())))
    score(model, [(torch.zeros(2, 2, 3, 3), torch.zeros(2).long())], CPU)
    assert seen == [False]
    assert [module.training for module in model] == [True, True, False, True, True]
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)

    def broken():
        yield torch.zeros(2, 2, 3, 3), torch.zeros(2, dtype=torch.int64)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        score(model, broken(), CPU)
    assert model.training
    assert not model[2].training


def test_the_loss_is_computed_in_float32():
    outputs = torch.tensor([[12.0, 3.0], [2.0, 9.0]], dtype=torch.bfloat16)
    labels = torch.tensor([0, 1])
    expected = functional.cross_entropy(outputs.float(), labels).item()
    assert score(nn.Identity(), [(outputs, labels)], CPU).loss == expected
    assert functional.cross_entropy(outputs, labels).item() != expected


def test_no_images_have_no_score():
    with pytest.raises(ValueError, match="no images"):
        score(make_model(3).train(), [], CPU)


@pytest.fixture
def run(tmp_path):
    """The folder of a run that is through."""
    spec = ModelSpec("test_resnet", 6, 3, 32, small_stem=True)
    model, _ = build_model(spec)
    (tmp_path / "settings.yaml").write_text("{}\n")
    export_weights(model, tmp_path / "weights.safetensors", spec, {"classes": list("abcdef")})
    return tmp_path, model


def test_a_runs_folder_and_its_file_are_the_same(run):
    folder, model = run
    images, labels = torch.randn(8, 3, 32, 32), torch.randint(6, (8,))
    expected = score(model, [(images, labels)], CPU)
    assert isinstance(expected, Score)
    for path in (folder, folder / "weights.safetensors"):
        loaded, metadata = load_for_evaluation(path)
        assert not loaded.training
        assert metadata["classes"] == list("abcdef")
        assert score(loaded, [(images, labels)], CPU) == expected


def test_folders_without_weights(run):
    folder, _ = run
    (folder / "weights.safetensors").unlink()
    cure = f"finish it with ldb train --out {folder} --resume, or use ldb export {folder}"
    with pytest.raises(UsageError, match=f"has no weights.*the run is not finished. Cure: {cure}"):
        load_for_evaluation(folder)
    (folder / "settings.yaml").unlink()
    with pytest.raises(UsageError, match="without settings.yaml it is no run's folder"):
        load_for_evaluation(folder)
    with pytest.raises(UsageError, match="cannot read .*nowhere"):
        load_for_evaluation(folder / "nowhere")
