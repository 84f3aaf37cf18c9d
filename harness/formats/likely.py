"""Random inputs that look like real ones: images, token ids, masks. An input is recognized by `kind`."""

from __future__ import annotations

import functools
import re
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Like = Literal["image", "tokens", "mask", "normal"]
"""What a suite may state of an input."""
Kind = Literal["image", "tokens", "mask", "zeros", "positions", "normal", "integers"]
CONSTANT: tuple[Kind, ...] = ("mask", "zeros", "positions")
"""Kinds whose values are the same in every sample."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the red, green and blue pixels of ImageNet, as shares of 255."""
GRIDS = (2, 4, 8, 16, 32, 64)
"""Numbers of random values along each side of an image; pixels between them are interpolated."""
SHARED = 0.9
"""Correlation of the color channels, which is about as high in photographs."""
MIN_SIDE = 16
"""Pixels along the shorter side of what is taken for an image."""
MAX_RANKED = 1_000_000
"""Token ids above this number are uniform: their frequencies would take too much memory."""
ZIPF_SHIFT = 2.7
"""Mandelbrot's constant: the r-th most frequent word has a frequency of about 1 / (r + 2.7)."""
UNSTATED_HIGH = 2
"""`high` where nobody stated it; positions may then be larger."""
NO_IMAGE = {"past", "cache", "key", "value", "state", "hidden", "mel", "audio", "spectrogram", "features"}
IMAGE_NAMES = {"image", "images", "img", "pixel", "pixels", "photo", "picture"}
TOKEN_NAMES = {"id", "ids", "token", "tokens", "index", "indices"}


class Spec(Protocol):
    """What is known of an input (formats/tensors.py)."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def dtype(self) -> str: ...  # noqa: D102
    @property
    def high(self) -> int: ...  # noqa: D102
    @property
    def avoid(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def like(self) -> Like | None: ...  # noqa: D102


def kind(spec: Spec) -> Kind:
    """Return what an input holds: as the suite states it, else by its name, dtype and shape.

    In this order: `mask` in the name (integers or bool of any shape, floats of at most two dimensions); a
    padding mask is zeros, since in torch true means padding. Of integers: a name with `type` or `segment` and
    `ids` is zeros, with `position` positions, with `ids`, `tokens` or `index` token ids. Of floats and uint8: three
    dimensions, of which the first or the last is 1 or 3 channels, are an image.
    """
    if spec.like is not None:
        return spec.like
    words = set(re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", spec.name).lower()))
    real = spec.dtype.startswith("float")
    if "mask" in words and (len(spec.shape) <= 2 or not real):
        return "zeros" if "padding" in words else "mask"
    if not real and words & {"id", "ids"} and words & {"type", "segment"}:
        return "zeros"
    if not real and words & {"position", "positions"}:
        return "positions"
    if not real and words & TOKEN_NAMES and len(spec.shape) <= 2:
        return "tokens"
    if (real or spec.dtype == "uint8") and not words & NO_IMAGE and _is_image(spec.shape, words):
        return "image"
    return "normal" if real else "integers"


def _is_image(shape: tuple[int, ...], words: set[str]) -> bool:
    """Whether a shape has 1 or 3 channels, first or last, and sides of at least MIN_SIDE pixels.

    With one channel the sides must be similar, or the name must say that it is an image.
    """
    if len(shape) != 3:
        return False
    channels, sides = (shape[0], shape[1:]) if shape[0] in (1, 3) else (shape[2], shape[:2])
    if channels not in (1, 3) or min(sides) < MIN_SIDE:
        return False
    return channels == 3 or bool(words & IMAGE_NAMES) or max(sides) <= 2 * min(sides)


def values(spec: Spec, batch: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return random values for `batch` samples, (batch, *shape), of the input's dtype."""
    size, found = (batch, *spec.shape), kind(spec)
    array: NDArray[Any]
    if found in ("mask", "zeros"):
        array = np.full(size, found == "mask")
    elif found == "positions":
        places = np.arange(spec.shape[-1] if spec.shape else 1)
        array = np.broadcast_to(places % spec.high if spec.high > UNSTATED_HIGH else places, size)
    elif found == "image":
        array = np.stack([_image(spec, rng) for _ in range(batch)]) if batch else np.zeros(size)
    elif spec.dtype.startswith("float"):
        array = rng.standard_normal(size)
    elif spec.dtype == "bool":
        array = rng.integers(0, 2, size=size)
    elif found == "tokens" and spec.high <= MAX_RANKED:
        ids, shares = _zipf(spec.high, spec.avoid)
        array = ids[np.searchsorted(shares, rng.random(size) * shares[-1], side="right")]
    else:
        array = _uniform(spec, size, rng)
    return array.astype(spec.dtype)


def _uniform(spec: Spec, size: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Return integers in [0, high) without those in `avoid`, all equally likely."""
    avoided = sorted({value for value in spec.avoid if 0 <= value < spec.high})
    found = rng.integers(0, spec.high - len(avoided), size=size)
    for value in avoided:
        found += found >= value
    return found


@functools.lru_cache(maxsize=4)
def _zipf(high: int, avoid: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the ids in order of frequency, always in the same random order, and their cumulative weights.

    A vocabulary begins with ids that are no words, such as padding; so the order is not that of the ids.
    """
    ids = np.setdiff1d(np.arange(high), np.asarray(avoid, np.int64))
    ranks = np.arange(1, len(ids) + 1)
    return np.random.default_rng(0).permutation(ids), np.cumsum(1 / (ranks + ZIPF_SHIFT))


def _image(spec: Spec, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return one image: smooth fields with correlated channels, its own contrast and brightness.

    Floats are as after ImageNet's normalization (mean 0, deviation 1 over many images), integers are pixels.
    """
    last = len(spec.shape) == 3 and spec.shape[0] not in (1, 3) and spec.shape[2] in (1, 3, 4)
    shape = (spec.shape[2], *spec.shape[:2]) if last else spec.shape
    height, width = shape[-2:]
    channels = int(np.prod(shape[:-2], dtype=np.int64))
    one, own = smooth(rng, 1, height, width), smooth(rng, channels, height, width)
    pixels = np.sqrt(SHARED) * one / one.std() + np.sqrt(1 - SHARED) * own / own.std()
    pixels = (pixels - pixels.mean()) * rng.uniform(0.5, 1.2) + 0.5 * rng.standard_normal()
    if not spec.dtype.startswith("float"):
        color = channels == len(IMAGENET_MEAN)
        mean = np.reshape(IMAGENET_MEAN, (-1, 1, 1)) if color else np.mean(IMAGENET_MEAN)
        deviation = np.reshape(IMAGENET_STD, (-1, 1, 1)) if color else np.mean(IMAGENET_STD)
        pixels = np.clip(np.round(255 * (mean + deviation * pixels)), 0, min(255, np.iinfo(spec.dtype).max))
    found: NDArray[np.float64] = pixels.reshape(shape)
    return np.moveaxis(found, 0, -1) if last else found


def smooth(rng: np.random.Generator, channels: int, height: int, width: int) -> NDArray[np.float64]:
    """Return random fields (channels, height, width) whose amplitude falls with frequency.

    Photographs are such (Field 1987, "Relations between the statistics of natural images").
    """
    found = np.zeros((channels, height, width))
    for grid in (n for n in GRIDS if n <= max(min(height, width), GRIDS[0])):
        rows, columns = _interpolation(grid, height), _interpolation(grid, width)
        found += rows @ rng.standard_normal((channels, grid, grid)) @ columns.T / np.sqrt(grid)
    return found


@functools.lru_cache(maxsize=64)
def _interpolation(grid: int, size: int) -> NDArray[np.float64]:
    """Return the matrix (size, grid) that interpolates linearly between `grid` values."""
    places = np.linspace(0, grid - 1, size)
    return np.maximum(0.0, 1.0 - np.abs(places[:, np.newaxis] - np.arange(grid)))


def describe(spec: Spec) -> str:
    """Say what random values an input gets."""
    scaled = "as after ImageNet's normalization" if spec.dtype.startswith("float") else "pixels from 0 to 255"
    whole = f"uniform integers below {spec.high:,}" if spec.dtype != "bool" else "true or false"
    words: dict[Kind, str] = {
        "image": f"smooth random images, {scaled}",
        "tokens": f"random token ids below {spec.high:,} with the frequencies of words (Zipf)",
        "mask": "ones",
        "zeros": "zeros",
        "positions": "0, 1, 2, …",
        "normal": "standard normal numbers" if spec.dtype.startswith("float") else whole,
        "integers": whole,
    }
    return f"{spec.name}: {words[kind(spec)]}"
