"""Exports of PyTorch modules whose inputs have the batch in another dimension, or no batch."""

from __future__ import annotations

from pathlib import Path

import torch

from harness.formats.tensors import TensorSpec
from harness.formats.torch import program as torch_program
from harness.formats.torch.work import count_module

STATE = TensorSpec(name="state", shape=(3, 8), batch_axis=1)
SPECS = (STATE, TensorSpec(name="scale", shape=(8,), batch_axis=None))


class Cell(torch.nn.Module):
    """state (3, batch, 8), scale (8) → (3, batch, 4); 3 is no batch."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(8, 4)

    def forward(self, state: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return self.head(state * scale)


class Fixed(Cell):
    """The same, for a batch of 2 only."""

    def forward(self, state: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return super().forward(state.reshape(3, 2, 8), scale)


def test_a_program_keeps_its_batch_free_in_another_dimension(tmp_path: Path) -> None:
    assert torch_program.save_program(Cell(), SPECS, tmp_path, batch=2) == {"free_batch": True}
    program = torch_program.load_program(tmp_path)
    assert torch_program.fixed_batch(program, tmp_path) is None
    state, scale = torch.randn(3, 5, 8), torch.randn(8)
    assert torch_program.as_module(program)(state, scale).shape == (3, 5, 4)
    assert torch_program.count_statistics(tmp_path, SPECS)["flops_per_sample"] == 2 * 3 * 8 * 4


def test_the_only_batch_of_a_program_is_found_in_that_dimension(tmp_path: Path) -> None:
    assert torch_program.save_program(Fixed(), SPECS, tmp_path, batch=2)["free_batch"] is False
    assert torch_program.fixed_batch(torch_program.load_program(tmp_path), tmp_path) == 2


def test_flops_are_those_of_one_sample_whatever_the_axis() -> None:
    assert count_module(Cell(), SPECS, 4)["flops_per_sample"] == 2 * 3 * 8 * 4
