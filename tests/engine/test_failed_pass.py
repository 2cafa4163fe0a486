"""A note for errors of forward passes that speak of gradients; none for others."""

import pytest

from layerdropback.engine.failed_pass import note_missing_gradient


@pytest.mark.parametrize(
    "text",
    [
        "cannot register a hook on a tensor that doesn't require gradient",
        "can't retain_grad on Tensor that has requires_grad=False",
        "One of the differentiated Tensors does not require grad",
        "'NoneType' object has no attribute 'register_prehook'",
    ],
)
def test_what_speaks_of_gradients_gets_a_note(text):
    error = RuntimeError(text)
    note_missing_gradient(error, ["stem", "body"])
    (note,) = error.__notes__
    assert note == (
        "LayerDropBack dropped 'stem', 'body' in this step. Cause: an activation with nothing but "
        "dropped layers before it requires no gradient, and the model asks for its gradient, in a "
        "way that was not seen in the step that was looked at. Cure: ask for it only where "
        "tensor.requires_grad is True, ask for it in every step, or keep a layer before it with "
        "keep=[...]."
    )


@pytest.mark.parametrize(
    ("text", "dropped"),
    [("mat1 and mat2 shapes cannot be multiplied", ["stem"]), ("requires_grad", [])],
)
def test_other_errors_get_none(text, dropped):
    error = RuntimeError(text)
    note_missing_gradient(error, dropped)
    assert not hasattr(error, "__notes__")
