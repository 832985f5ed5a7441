"""Which path a CUDA tensor takes, and what is said where there is none."""

import pytest
import torch

from manifolds.kernels import device, library

here = torch.device("cuda")
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: tests/gpu")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """As if nothing had been asked."""
    monkeypatch.setattr(device, "_state", {})


def test_no_device_is_no_error_until_it_is_forced(monkeypatch):
    monkeypatch.setenv("MANIFOLDS_KERNELS", "auto")
    assert device.load(here) is None and device.cuda(here) is None
    assert device.live() == "none: torch sees no CUDA device"
    reasons = {"this torch is built without CUDA", "torch sees no CUDA device"}
    assert device.missing(here) in reasons
    monkeypatch.setenv("MANIFOLDS_KERNELS", "cuda")
    with pytest.raises(library.KernelError, match=r"MANIFOLDS_KERNELS=cuda: .* CUDA"):
        library.of(torch.ones(2))
    assert library.live().startswith("none: MANIFOLDS_KERNELS=cuda: ")


def test_torch_is_torch_on_every_device(monkeypatch):
    monkeypatch.setenv("MANIFOLDS_KERNELS", "torch")
    assert device.cuda(here) is None and device._state == {}
    assert device.live() == "torch: MANIFOLDS_KERNELS=torch"


def test_other_devices_take_torch():
    assert library.of(torch.empty(2, device="meta")) is None
