"""The form ``openvino-blob``: a model that OpenVINO has compiled for a device and a batch."""

from harness.artifacts.forms import FORMS, Form

FORM = "openvino-blob"
BLOB = "model.blob"

FORMS.add(FORM, Form(FORM, "OpenVINO's compiled model for one batch"))
