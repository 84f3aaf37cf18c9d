"""`harness train`: a zoo model's checkpoint, made anew by its recipe."""

from __future__ import annotations

from pathlib import Path

from harness.console import Terminal
from harness.errors import ExitCode
from harness.zoo.registry import MODELS


def train_model(name: str, suites: Path, *, quiet: bool) -> ExitCode:
    """Train and write `checkpoints/NAME.safetensors` with its description."""
    terminal = Terminal(quiet=quiet)
    recipe = MODELS.get(name).recipe
    from harness.zoo.fitting import Progress
    from harness.zoo.training import train_zoo_model

    def show(progress: Progress) -> None:
        if progress.step * 10 % progress.steps < 10 or progress.step == progress.steps:
            terminal.say(
                f"epoch {progress.epoch} of {progress.epochs}, step {progress.step} of {progress.steps}: "
                f"loss {progress.loss:.4f}"
            )

    terminal.say(f"{name}: {recipe}")
    card = train_zoo_model(name, suites, progress=show)
    terminal.say(
        f"{name}: {card['metric']} {card['quality']:.4f} on {card['test_samples']} test items, "
        f"{card['train_s']} s"
    )
    return ExitCode.OK
