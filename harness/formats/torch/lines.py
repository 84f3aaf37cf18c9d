"""Lines of Python that load a `torch-module` or a `torch-program` without the harness, for an exported model.

They are text: this file imports no torch. A runtime adds `leaves`, which returns the tensors of an output.
"""

from __future__ import annotations

import json
from pathlib import Path

_MODULE = '''\
import json

import torch
from safetensors.torch import load_file

{code}


def load_module():
    """Make the module with its own code, and place the weights."""
    saved = json.loads((FOLDER / "module.json").read_text())
{make}    module = getattr(module, "_orig_mod", module)  # without torch.compile, as it was measured
    module.eval()
{attributes}    tensors = load_file(FOLDER / "weights.safetensors")
    for alias, name in saved["aliases"].items():
        tensors[alias] = tensors[name]
    shared = {{}}
    for name, tensor in tensors.items():
        owner, _, leaf = name.rpartition(".")
        part = module.get_submodule(owner)
        if leaf in part._parameters:
            new = torch.nn.Parameter(tensor, requires_grad=False)
            part._parameters[leaf] = shared.setdefault(id(tensor), new)
        else:
            part._buffers[leaf] = tensor
    module.to("{device}")
{execution}'''
_MAKE = """\
    module = build_model(**saved["kwargs"])
"""
_MAKE_SEEDED = """\
    with torch.random.fork_rng([]):
        torch.manual_seed(saved["seed"])  # for what the code draws at random and does not save
        module = build_model(**saved["kwargs"])
"""
_WITH_HARNESS = '''\
import torch
from harness.formats.torch import module as torch_module


def load_module():
    """Load the module with accel-harness: it has more than a factory, attributes and weights."""
    return torch_module.load_module(FOLDER).to("{device}")
'''
_FILE = """\
import sys

CODE = next((file for entry in sys.path if (file := Path(entry, {file!r})).is_file()), None)
if CODE is None:
    sys.exit("set PYTHONPATH to the folder that holds {file}")
sys.path.append(str(CODE.parent))
from {module} import {function} as build_model  # noqa: E402"""
_ATTRIBUTES = """\
    for name, changed in saved["attributes"].items():  # such as the width of a pruned layer
        for key, value in changed.items():
            setattr(module.get_submodule(name), key, tuple(value) if isinstance(value, list) else value)
"""
_EXECUTION = '''\
{layout}
    def prepared(tensor):
        """Return an input in the dtype and memory layout of the weights."""
        if tensor.is_floating_point():
{changes}        return tensor

    def model(*inputs):
        """Run the module; return its outputs, those in floating point as float32."""
        outputs = leaves(module(*map(prepared, inputs)))
        return [one.float() if one.is_floating_point() else one for one in outputs]

    return model
'''
_PROGRAM = '''\
import torch
import torch.export.passes


def load_module():
    """Load the exported program."""
    program = torch.export.load(FOLDER / "program.pt2")
{move}    return program.module(check_guards=False)
'''
_MOVE = '    program = torch.export.passes.move_to_device_pass(program, "{device}")\n'


_PLAIN = {"factory", "kwargs", "attributes", "aliases", "execution", "seed"}
"""What the lines can do of what `module.json` says."""


def module_lines(folder: Path, device: str) -> str:
    """Return the lines for a `torch-module`: they import the model's own code and apply `execution`.

    A module with tensors outside of its state dict, or that is called in a way of its own, needs the harness.
    """
    saved = json.loads((folder / "module.json").read_text())
    more = [name for name in saved if saved[name] and name not in _PLAIN]
    more += [name for name in saved.get("execution") or () if name not in ("dtype", "layout")]
    if more or (folder / "outside.safetensors").exists():
        return _WITH_HARNESS.format(device=device)
    return _MODULE.format(
        code=_import(saved["factory"]),
        make=_MAKE_SEEDED if "seed" in saved else _MAKE,
        attributes=_ATTRIBUTES if saved["attributes"] else "",
        device=device,
        execution=_execution(saved.get("execution") or {}),
    )


def _import(factory: str) -> str:
    """Return the lines that import a factory: of a module, or of a file below a folder of the search path."""
    place, _, function = factory.rpartition(":")
    if not place.endswith(".py"):
        return f"from {place} import {function} as build_model"
    return _FILE.format(file=place, module=Path(place).stem, function=function)


def _execution(execution: dict[str, str]) -> str:
    """Return the lines that make a module compute in a dtype and memory layout (module.py, set_execution)."""
    if not execution:
        return "    return module\n"
    changes, layout = "", ""
    if execution.get("layout") == "channels-last":
        layout = "    module.to(memory_format=torch.channels_last)\n"
        changes = (
            "            if tensor.dim() == 4:\n"
            "                tensor = tensor.contiguous(memory_format=torch.channels_last)\n"
        )
    if "dtype" in execution:
        changes += f"            tensor = tensor.to(torch.{execution['dtype']})\n"
    return _EXECUTION.format(layout=layout, changes=changes)


def program_lines(_folder: Path, device: str) -> str:
    """Return the lines for a `torch-program`."""
    return _PROGRAM.format(move="" if device == "cpu" else _MOVE.format(device=device))


_SCRIPT = '''\
import torch


def load_module():
    """Load the TorchScript archive."""
    module = torch.jit.load(str(FOLDER / "model.pt"), map_location="{device}")
    return module.eval() if hasattr(module, "training") else module
'''


def script_lines(_folder: Path, device: str) -> str:
    """Return the lines for a `torch-script`."""
    return _SCRIPT.format(device=device)
