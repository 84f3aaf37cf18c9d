"""The form ``aoti``: one package with machine code and weights, compiled for a batch and thread budget."""

from pathlib import Path

from harness.artifacts.forms import FORMS, Form

FORM = "aoti"
PACKAGE = "model.pt2"


def has_space(path: Path) -> bool:
    """Whether TorchInductor would trip over `path`: it hands paths to the C++ compiler unquoted."""
    return any(character.isspace() for character in str(path))


FORMS.add(FORM, Form(FORM, "AOTInductor package: machine code and weights for one batch"))
