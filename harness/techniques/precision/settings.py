"""What a suite says of precision, whatever form the model has: one class a type of float."""

from __future__ import annotations

from typing import Literal

from harness.techniques.registry import StepConfig


class Float16(StepConfig):
    """Weights and arithmetic in IEEE half precision; inputs and outputs stay in 32 bits."""

    dtype: Literal["fp16"] = "fp16"


class BFloat16(StepConfig):
    """Weights and arithmetic in bfloat16, float32's range in 16 bits; inputs and outputs stay in 32."""

    dtype: Literal["bf16"] = "bf16"
