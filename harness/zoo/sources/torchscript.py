"""``{torchscript: model.pt, inputs: …}``: a user's own TorchScript model, as `torch.jit.save` writes it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from harness.errors import DataError, first_line
from harness.formats.file_kinds import TORCHSCRIPT
from harness.formats.tensors import TensorSpec
from harness.formats.torch import script as torch_script
from harness.zoo.model_file import FileConfig, Opened, file_source
from harness.zoo.source import SOURCES


class ScriptSource(FileConfig):
    """`torchscript` is a file, relative to the suite. It does not hold the shapes of its inputs."""

    torchscript: str = Field(description="a file of torch.jit.save, relative to the suite")


def _open(path: Path, given: tuple[TensorSpec, ...] | None) -> Opened:
    try:
        module = torch_script.load_file(path)
    except RuntimeError as error:
        raise DataError(f"torch cannot load it: {first_line(error)}") from error
    names = [argument.name for argument in module.forward.schema.arguments[1:]]
    if given is None:
        wanted = ", ".join(f"{name}: [3, 224, 224]" for name in names)
        raise DataError(
            "TorchScript does not hold the shapes of its inputs. Give the shape of one sample of each input "
            f"in the suite, such as inputs: {{{wanted}}}"
        )
    if unknown := sorted({spec.name for spec in given} - set(names)):
        raise DataError(f"inputs name {', '.join(unknown)}; its forward takes {', '.join(names)}")
    return Opened(path, module, tuple(sorted(given, key=lambda spec: names.index(spec.name))))


SOURCES.add(
    "torchscript",
    file_source(
        "torchscript",
        ScriptSource,
        kind=TORCHSCRIPT,
        wanted="a TorchScript model",
        format=torch_script.FORMAT,
        open_file=_open,
        save=torch_script.store,
    ),
)
