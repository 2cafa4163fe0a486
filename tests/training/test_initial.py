import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from layerdropback import UsageError
from layerdropback.training.export import export_weights
from layerdropback.training.initial import initial_inputs, load_initial, scale_head
from layerdropback.training.inputs import Inputs
from layerdropback.training.models import ModelSpec, build_model

SPEC = ModelSpec("test_resnet", 4, 3, 32, small_stem=True)


def build(**changes):
    return build_model(ModelSpec(**(vars(SPEC) | changes)))[0]


@pytest.fixture
def exported(tmp_path):
    model, path = build(), tmp_path / "weights.safetensors"
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1)
    notes = {"classes": list("abcd"), "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 1]}
    export_weights(model, path, SPEC, notes)
    return model.state_dict(), path


def same(model, weights, but=()):
    for name, value in model.state_dict().items():
        if name not in but:
            torch.testing.assert_close(value, weights[name], rtol=0, atol=0, msg=name)


def test_all_weights_are_loaded_into_the_same_model(exported):
    weights, path = exported
    for classes in ((), tuple("abcd")):
        model = build()
        state = torch.get_rng_state()
        said = load_initial(model, path, classes)
        assert said == f"weights from {path}, its classifier included"
        assert torch.equal(torch.get_rng_state(), state)
        same(model, weights)


@pytest.mark.parametrize(
    ("classes", "names", "why"),
    [(10, "abcdefghij", "4 -> 10 classes"), (4, "abce", "the file's has other classes")],
)
def test_a_classifier_of_other_classes_stays_new(exported, classes, names, why):
    weights, path = exported
    model = build(classes=classes)
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    assert load_initial(model, path, names) == (
        f"weights from {path}; the classifier fc is new ({why})"
    )
    head = ("fc.weight", "fc.bias")
    same(model, weights, but=head)
    for name in head:
        torch.testing.assert_close(model.state_dict()[name], fresh[name], rtol=0, atol=0)


def test_a_file_of_somebody_elses(exported, tmp_path):
    weights, _ = exported
    path = tmp_path / "foreign.safetensors"
    save_file(weights, path)
    model = build()
    assert load_initial(model, path, "wxyz").endswith("its classifier included")
    same(model, weights)
    assert initial_inputs(path) is None
    body = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    save_file(body, path, metadata={"layerdropback": "[]"})
    assert load_initial(build(), path).endswith("; the classifier fc is new (the file has none)")
    save_file(body | {"fc.bias": weights["fc.bias"]}, path, metadata={"layerdropback": "no json"})
    assert load_initial(build(), path).endswith("fc is new (the file has a part of it)")


def test_everything_that_does_not_fit_is_told_and_nothing_loaded(exported, tmp_path):
    weights, _ = exported
    odd = dict(weights)
    odd["extra"] = odd.pop("bn1.weight")
    odd["conv1.0.weight"] = torch.ones(2, 3, 5, 5)
    save_file(odd, tmp_path / "odd.safetensors")
    model = build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UsageError) as error:
        load_initial(model, tmp_path / "odd.safetensors")
    text = str(error.value)
    assert "odd.safetensors does not fit the model. Cause: missing: 'bn1.weight'" in text
    assert "; unexpected: 'extra'; of another shape: 'conv1.0.weight 2x3x5x5, not " in text
    assert text.endswith("give the same --model, --stem and --image-size, or another file.")
    assert "\n" not in text
    same(model, before)


def test_another_stem_is_told_with_the_flags_of_the_file(tmp_path):
    path = tmp_path / "vit.safetensors"
    spec = ModelSpec("test_vit", 4, 3, 32, small_stem=True)
    export_weights(build_model(spec)[0], path, spec, {})
    model = build_model(ModelSpec("test_vit", 4, 3, 160, small_stem=False))[0]
    with pytest.raises(UsageError, match="of another shape.*patch_embed") as error:
        load_initial(model, path)
    flags = "--model test_vit, --stem small and --image-size 32"
    assert str(error.value).endswith(f"Cure: give the same {flags}, or another file.")


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.out = nn.Linear(3, 3), nn.Linear(3, 3)
        self.out.weight = self.embedding.weight


def test_tied_weights(tmp_path):
    model, path = Tied(), tmp_path / "tied.safetensors"
    save_model(model, str(path))
    other = Tied()
    assert load_initial(other, path) == f"weights from {path}"
    same(other, model.state_dict())
    assert other.out.weight is other.embedding.weight
    save_file({"embedding.bias": torch.ones(3), "out.bias": torch.ones(3)}, path)
    with pytest.raises(UsageError, match="missing: 'embedding.weight', 'out.weight'"):
        load_initial(Tied(), path)


def test_two_classifiers(tmp_path):
    spec = ModelSpec("deit_tiny_distilled_patch16_224", 4, 3, 32, small_stem=True)
    path = tmp_path / "weights.safetensors"
    export_weights(build_model(spec)[0], path, spec, {})
    model = build_model(ModelSpec(**(vars(spec) | {"classes": 6})))[0]
    said = load_initial(model, path)
    assert said.endswith("; the classifier head and head_dist is new (4 -> 6 classes)")


@pytest.mark.parametrize("read", [initial_inputs, lambda path: load_initial(build(), path)])
def test_files_that_cannot_be_read(tmp_path, read):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"\0" * 30)
    for path in (damaged, tmp_path / "missing.safetensors"):
        with pytest.raises(UsageError, match=f"^cannot read {path}. Cause: .* Cure: give another"):
            read(path)


def test_a_file_that_was_cut_short(exported):
    _, path = exported
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UsageError, match="^cannot read"):
        load_initial(build(), path)


def test_the_files_normalisation(exported, tmp_path):
    assert initial_inputs(exported[1]) == Inputs([0.1, 0.2, 0.3], [0.4, 0.5, 1.0])
    path = tmp_path / "odd.safetensors"
    for entry in ("no json", "[]", "{}", '{"mean": [0.5], "std": null}', '{"mean": ["a"]}'):
        save_file({"a": torch.ones(1)}, path, metadata={"layerdropback": entry})
        assert initial_inputs(path) is None


def test_a_new_classifier_can_begin_small():
    for name, heads in (
        ("test_resnet", ["fc"]),
        ("deit_tiny_distilled_patch16_224", ["head", "head_dist"]),
    ):
        model, other = (build_model(ModelSpec(name, 4, 3, 224, False))[0] for _ in range(2))
        other.load_state_dict(model.state_dict())
        for head in heads:
            model.get_submodule(head).bias.data.fill_(1)
            other.get_submodule(head).bias.data.fill_(1)
            other.get_submodule(head).weight.data.mul_(0.25)
        scale_head(model, 0.25)
        same(model, other.state_dict())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "test_vit"}, "model test_resnet there and test_vit here"),
        ({"small_stem": False}, "small stem True there and False here"),
        ({"channels": 1}, "channels 3 there and 1 here"),
    ],
)
def test_a_file_of_another_network_is_refused_though_its_shapes_might_fit(exported, changes, words):
    """Strides have no shape: a mobilenet's small stem is its original one at another stride."""
    _, path = exported
    spec = ModelSpec(**(vars(SPEC) | changes))
    with pytest.raises(UsageError, match=f"does not fit the model. Cause: {words}. Cure: give"):
        load_initial(build(), path, "abcd", spec)


def test_a_runs_folder_stands_for_its_weights(exported):
    weights, path = exported
    model = build()
    load_initial(model, path.parent, "abcd", SPEC)
    same(model, weights)
    assert initial_inputs(path.parent) == Inputs([0.1, 0.2, 0.3], [0.4, 0.5, 1.0])
