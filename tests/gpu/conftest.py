"""Everything here needs a GPU: one command, `pytest -m gpu tests/gpu`."""

import pytest
import torch

from manifolds.kernels import device


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = "" if torch.cuda.is_available() else "torch sees no CUDA device"
    for item in items:
        if "gpu" in item.path.parts:
            item.add_marker(pytest.mark.gpu)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CUDA path or an error, never the torch path in silence."""
    monkeypatch.setenv("MANIFOLDS_KERNELS", "cuda")
    assert device.cuda(torch.device("cuda")) is not None
