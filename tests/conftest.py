"""What all tests share: torch as Polyhead prepares it, one thread, and where real data is."""

from __future__ import annotations

import os
from pathlib import Path

from polyhead import machine

os.environ["OMP_NUM_THREADS"] = "1"  # here and in every process that a test starts
machine.prepare()  # before torch is loaded

import pytest  # noqa: E402
import torch  # noqa: E402


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What a test draws without a seed of its own is the same, whichever tests went before."""
    torch.manual_seed(11)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets, or a skip that says how to name it."""
    value = os.environ.get("POLYHEAD_DATA")
    if not value:
        pytest.skip("the variable POLYHEAD_DATA is not set: it names the folder of real data")
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail(f"POLYHEAD_DATA is {value}, which is no folder")
    return folder
