"""numpy's float32 product, by the BLAS it was built with, held to its threads by threadpoolctl."""

from __future__ import annotations

import importlib

import numpy as np

from harness.devices.peaks.registry import Product, gemm


@gemm("numpy", "float32", "threadpoolctl", kernel="matmul")
def float32_product(rows: int, side: int, threads: int) -> Product:
    """Multiply by `np.matmul`."""
    random = np.random.default_rng(0)
    left, right = (random.random((n, side), dtype=np.float32) for n in (rows, side))
    controller = importlib.import_module("threadpoolctl").ThreadpoolController()

    def product() -> object:
        with controller.limit(limits=threads, user_api="blas"):
            return np.matmul(left, right)

    return product
