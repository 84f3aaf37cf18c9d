"""`harness train`: train a zoo model by its recipe and write its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands import Quiet, new_app
from harness.console import Terminal
from harness.errors import ExitCode
from harness.zoo.registry import MODELS

app = new_app()


@app.command()
def train_model(
    model: Annotated[str, typer.Argument(help="A zoo model; see: harness list models.")],
    suites: Annotated[Path, typer.Option("--suites", help="Folder with data/ and checkpoints/.")] = Path(
        "suites"
    ),
    quiet: Quiet = False,
) -> ExitCode:
    """Train a zoo model by its recipe, and overwrite its checkpoint."""
    terminal = Terminal(quiet=quiet)
    recipe = MODELS.get(model).recipe
    from harness.zoo.fitting import Progress
    from harness.zoo.training import train_zoo_model

    def show(progress: Progress) -> None:
        if progress.step * 10 % progress.steps < 10 or progress.step == progress.steps:
            terminal.say(
                f"epoch {progress.epoch} of {progress.epochs}, step {progress.step} of {progress.steps}: "
                f"loss {progress.loss:.4f}"
            )

    terminal.say(f"{model}: {recipe}")
    card = train_zoo_model(model, suites, progress=show)
    terminal.say(
        f"{model}: {card['metric']} {card['quality']:.4f} on {card['test_samples']} test samples, "
        f"{card['train_s']} s"
    )
    return ExitCode.OK
