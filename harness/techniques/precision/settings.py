"""What a suite says of precision, whatever form the model has: one class a type of float."""

from __future__ import annotations

from typing import Literal

from harness.techniques.registry import StepConfig


class Float16(StepConfig):
    """Weights and arithmetic in IEEE half precision; inputs and outputs stay in 32 bits."""

    dtype: Literal["fp16"] = "fp16"
