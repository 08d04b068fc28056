"""What all tests of trainings share."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def one_core():
    """Compute on one core: networks this small only wait for each other on several."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)
