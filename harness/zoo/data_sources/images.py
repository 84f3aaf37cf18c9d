"""``{images: photos, resize: 256}``: a folder of images, in a folder for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from harness.errors import DataError, MissingPackageError
from harness.formats.likely import IMAGENET_MEAN, IMAGENET_STD
from harness.formats.tensors import Array, TensorSpec
from harness.zoo.data_sources.registry import DATA_SOURCES, DataConfig, DataSource, Inputs
from harness.zoo.registry import Split
from harness.zoo.splits import find_places, place_of, side

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
CROPPED = 0.875
"""Share of the shorter side that is kept, as ImageNet's models are evaluated: 224 of 256 pixels."""


class ImagesConfig(DataConfig):
    """Images in a folder for each class. Classes count in the order of their names, or by their numbers."""

    images: str = Field(
        min_length=1, description="a folder, relative to the suite, with train and test or classes in it"
    )
    resize: int | None = Field(
        default=None,
        ge=1,
        description="pixels of the shorter side before the center is cropped to the model's size; default: "
        "the model's longer side / 0.875. An image of the model's size stays as it is",
    )
    mean: tuple[float, ...] = Field(
        default=IMAGENET_MEAN, description="subtracted from pixels in [0, 1], for each channel"
    )
    std: tuple[float, ...] = Field(default=IMAGENET_STD, description="then they are divided by this")


class Images:
    """Images by number, with their classes: (array, class), or the array where there are no classes."""

    def __init__(self, config: ImagesConfig, spec: TensorSpec, files: list[tuple[Path, int | None]]) -> None:
        self.config, self.spec, self.files = config, spec, files
        self.last = spec.shape[0] not in (1, 3)
        self.channels = spec.shape[2 if self.last else 0]
        self.height, self.width = spec.shape[:2] if self.last else spec.shape[1:]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        path, label = self.files[index]
        array = self._scaled(self._pixels(path))
        return array if label is None else (array, label)

    def _pixels(self, path: Path) -> Array:
        """Return the image as uint8 (height, width, channels) in the model's size."""
        from PIL import Image, ImageOps

        try:
            with Image.open(path) as opened:
                image = ImageOps.exif_transpose(opened).convert("L" if self.channels == 1 else "RGB")
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"{path.name} is no readable image: {error}") from error
        if image.size != (self.width, self.height):
            wanted = self.config.resize or round(max(self.height, self.width) / CROPPED)
            ratio = max(wanted / min(image.size), self.width / image.width, self.height / image.height)
            width, height = (round(side * ratio) for side in image.size)
            image = image.resize((width, height), Image.Resampling.BILINEAR)
            left, top = (width - self.width) // 2, (height - self.height) // 2
            image = image.crop((left, top, left + self.width, top + self.height))
        return np.asarray(image, np.uint8).reshape(self.height, self.width, self.channels)

    def _scaled(self, pixels: Array) -> Array:
        """Return the image normalized if the model takes floats, its channels where the model has them."""
        array: Array = pixels
        if self.spec.dtype.startswith("float"):
            mean, std = (
                np.array(_of_channels(one, self.channels)) for one in (self.config.mean, self.config.std)
            )
            array = ((pixels.astype(np.float32) / 255 - mean) / std).astype(self.spec.dtype)
        return array if self.last else np.moveaxis(array, -1, 0)


def _of_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Return one value for each channel: those given, one for all, or the mean of three for gray."""
    if len(values) == channels:
        return values
    if channels == 1 or len(values) == 1:
        return (float(np.mean(values)),) * channels
    raise DataError(f"mean and std have {len(values)} values; the model takes {channels} channels")


def load(config: ImagesConfig, folder: Path, split: Split, inputs: Inputs) -> Images:
    """Return the images of a split. Without folders for splits, a hash of each file's name divides them."""
    spec = inputs[0]
    if len(inputs) != 1 or len(spec.shape) != 3 or not {spec.shape[0], spec.shape[2]} & {1, 3}:
        shapes = ", ".join(f"{one.name} {one.shape}" for one in inputs)
        raise DataError(f"{config.images}: images fit one input of 1 or 3 channels; the model takes {shapes}")
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("pillow", "images") from error
    classes = find_classes(config, folder)
    place = place_of(config.images, folder, split)
    divided = "" not in find_places(config.images, folder)
    files = [
        (path, classes.get(path.relative_to(place).parts[0]))
        for path in sorted(place.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and (divided or side(path.relative_to(place).as_posix().encode()) == split)
    ]
    if not files:
        raise DataError(f"{config.images} has no images of the split {split}: {', '.join(sorted(SUFFIXES))}")
    if loose := [path.name for path, label in files if classes and label is None]:
        raise DataError(f"{config.images}: {loose[0]} is in no class's folder, others are")
    return Images(config, spec, files)


def find_classes(config: ImagesConfig, folder: Path) -> dict[str, int]:
    """Return the number of each class: all splits' folders, by name; if all are numbers, these."""
    places = find_places(config.images, folder).values()
    names = sorted(
        {one.name for place in places if place.is_dir() for one in place.iterdir() if _is_class(one)}
    )
    if names and all(name.isdecimal() for name in names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(names)}


def _is_class(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith((".", "__"))


def notes(config: ImagesConfig, inputs: Inputs) -> tuple[str, ...]:
    """Say how images are resized and normalized."""
    spec = inputs[0]
    last = spec.shape[0] not in (1, 3)
    sides = spec.shape[:2] if last else spec.shape[1:]
    wanted = config.resize or round(max(sides) / CROPPED)
    size = f"images resized to {wanted} pixels (shorter side) and cropped to {sides[0]} × {sides[1]}"
    if not spec.dtype.startswith("float"):
        return (size, "pixels from 0 to 255")
    own = (config.mean, config.std) == (IMAGENET_MEAN, IMAGENET_STD)
    whose = "ImageNet's " if own else ""
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (config.mean, config.std))
    return (size, f"normalized with {whose}mean {mean} and deviation {std}")


DATA_SOURCES.add(
    "images",
    DataSource(
        "images",
        ImagesConfig,
        "a folder of images, in a folder for each class",
        lambda text: "/" in text or text in (".", ".."),
        load,
        divides=True,
        notes=notes,
        files=lambda config: (config.images,),
        packages=("pillow:PIL",),
    ),
)
