"""The form ``aoti``: one package with machine code and weights, compiled for a batch and thread budget."""

from harness.artifacts.forms import FORMS, Form

FORM = "aoti"
PACKAGE = "model.pt2"

FORMS.add(FORM, Form(FORM, "AOTInductor package: machine code and weights for one batch"))
