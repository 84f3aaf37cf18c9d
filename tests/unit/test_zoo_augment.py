"""Augmentations move images as they promise, the same way for the same seed."""

from __future__ import annotations

import itertools

import pytest

from harness.errors import DataError

torch = pytest.importorskip("torch")

from harness.zoo.augment import AUGMENTS, MAX_SHIFT, augment_images  # noqa: E402


def test_shift_moves_each_image_by_whole_pixels():
    images = torch.zeros(300, 2, 9, 9)
    images[:, :, 4, 4] = 1
    moved = AUGMENTS["shift"](images, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    places = moved.nonzero()
    assert len(places) == 600
    offsets = places[:, 2:] - 4
    assert {tuple(pair) for pair in offsets.tolist()} == set(
        itertools.product(range(-MAX_SHIFT, MAX_SHIFT + 1), repeat=2)
    )
    assert torch.equal(moved[:, 0], moved[:, 1])


@pytest.mark.parametrize("name", sorted(AUGMENTS))
def test_augmentations_leave_a_flat_image_flat_and_repeat_by_seed(name):
    flat = torch.full((8, 1, 28, 28), -0.4)
    torch.testing.assert_close(AUGMENTS[name](flat, torch.Generator().manual_seed(1)), flat)
    noise = torch.rand(8, 1, 28, 28)
    once, again = (AUGMENTS[name](noise, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, noise)


def test_affine_keeps_a_digits_mass_near_its_place():
    images = torch.zeros(64, 1, 28, 28)
    images[:, :, 10:18, 10:18] = 1
    moved = AUGMENTS["affine"](images, torch.Generator().manual_seed(0))
    mass = moved.sum(dim=(1, 2, 3)) / 64
    assert ((mass > 0.75) & (mass < 1.3)).all()
    rows = (moved.sum(dim=3)[:, 0] * torch.arange(28.0)).sum(dim=1) / moved.sum(dim=(1, 2, 3))
    assert ((rows - 13.5).abs() < 2.5).all()


def test_what_is_no_image_is_refused():
    for odd in (torch.zeros(2, 3), torch.zeros(2, 1, 3, 3, dtype=torch.int64)):
        with pytest.raises(DataError, match="augmentation takes"):
            augment_images(AUGMENTS["shift"], odd, torch.Generator())
