"""numpy's float32 product by its BLAS library; threadpoolctl limits the number of threads."""

from __future__ import annotations

import importlib

import numpy as np

from harness.devices.peaks.registry import Product, floats, gemm


@gemm("numpy", "float32", "threadpoolctl", kernel="matmul")
def float32_product(rows: int, side: int, threads: int) -> Product:
    """Multiply by `np.matmul`."""
    left, right = floats(rows, side), floats(side, side)
    controller = importlib.import_module("threadpoolctl").ThreadpoolController()

    def product() -> object:
        with controller.limit(limits=threads, user_api="blas"):
            return np.matmul(left, right)

    return product
