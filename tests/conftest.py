import pytest
import torch


@pytest.fixture(autouse=True)
def _same_start():
    """Every test starts from the same seed and plain, deterministic kernels."""
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
