"""What is to be said when the user's forward pass raises in a drop step."""

import re
from collections.abc import Sequence

from ..errors import explain, name_some

# Torch's words, or the user's, for an activation that requires no gradient, or has no node.
_ABOUT_GRADIENTS = re.compile(r"grad|register_(pre)?hook", re.IGNORECASE)


def note_missing_gradient(error: BaseException, dropped: Sequence[str]) -> None:
    """Say in a note on the error that dropping may be its cause, where it speaks of gradients."""
    if not dropped or not _ABOUT_GRADIENTS.search(str(error)):
        return
    fact = f"LayerDropBack dropped {name_some(dropped)} in this step"
    cause = (
        "an activation with nothing but dropped layers before it requires no gradient, and the "
        "model asks for its gradient, in a way that was not seen in the step that was looked at"
    )
    cure = (
        "ask for it only where tensor.requires_grad is True, ask for it in every step, or keep a "
        "layer before it with keep=[...]"
    )
    error.add_note(explain(fact, cause, cure))
