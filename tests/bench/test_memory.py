"""Peaks of the resident set against allocations of known size."""

import sys
from importlib.util import find_spec

import pytest
import torch

from geomclip.bench.config import Case
from geomclip.bench.memory import Unmeasured, fresh_peak, high_water, resident_peak
from manifolds.kernels import library

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
MIB = 2**20


def test_high_water_reads_its_line():
    assert high_water("VmPeak:\t 99 kB\nVmHWM:\t   1234 kB\nVmRSS:\t 1 kB\n") == 1234 * 1024
    with pytest.raises(Unmeasured, match="VmHWM"):
        high_water("VmRSS:\t 1 kB\n")


@LINUX
@pytest.mark.parametrize("held", [1, 2])
def test_the_peak_is_what_a_step_holds_at_once(held):
    def step():
        for _ in range(3):  # one after the other: the peak is that of one turn
            parts = [torch.ones(64 * MIB // 4) for _ in range(held)]
            del parts

    step()
    assert resident_peak(step) == pytest.approx(64 * MIB * held, abs=4 * MIB)


@LINUX
def test_a_fresh_process_measures_the_textbook_formula():
    """Forward and backward hold several n x m matrices at once, and far from a hundred."""
    n = 1024
    size = fresh_peak(Case("pairwise", n=n, m=n, dim=8, threads=1), "textbook")
    assert 3 * 4 * n * n < size < 20 * 4 * n * n


def test_a_process_that_fails_says_why():
    reason = "has the Poincaré ball only" if find_spec("hypll") else "is not installed"
    with pytest.raises(Unmeasured, match=f"hypll {reason}"):
        fresh_peak(Case("pairwise", n=8, m=8, dim=2), "hypll")


@LINUX
def test_the_loss_keeps_its_products_once():
    """n = 2048: "auto" keeps all of the n x m products, 16 MiB, beside tiles and row terms.

    In torch the steps over a tile of 4 MiB need its like several times; a second copy of the
    products would show there too.
    """
    size = fresh_peak(Case("loss", n=2048, m=2048, dim=16), "geomclip")
    assert size < (28 if library.load() is not None else 58) * MIB
