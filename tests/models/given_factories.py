"""Factories of modules as people write them, which the harness must take as they are: 8 numbers → 4."""

import dataclasses
import functools
import os
import sys
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils import parametrizations, prune


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(torch.relu(self.body(x)))


def weight_norm() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 16)), nn.ReLU(), nn.Linear(16, 4))


def old_weight_norm() -> nn.Module:
    return nn.Sequential(torch.nn.utils.weight_norm(nn.Linear(8, 16)), nn.ReLU(), nn.Linear(16, 4))


def spectral_norm() -> nn.Module:
    return nn.Sequential(parametrizations.spectral_norm(nn.Linear(8, 16)), nn.ReLU(), nn.Linear(16, 4))


def old_spectral_norm() -> nn.Module:
    return nn.Sequential(torch.nn.utils.spectral_norm(nn.Linear(8, 16)), nn.ReLU(), nn.Linear(16, 4))


def orthogonal() -> nn.Module:
    return nn.Sequential(parametrizations.orthogonal(nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 4))


def masked() -> nn.Module:
    net = Net()
    prune.random_unstructured(net.body, "weight", 0.5)
    prune.l1_unstructured(net.head, "weight", 0.25)
    return net


def class_inside() -> nn.Module:
    class Inside(Net):
        pass

    return Inside()


NUMBER = 0


def class_of_a_new_name() -> nn.Module:
    global NUMBER
    NUMBER += 1
    return type(f"Net{NUMBER}", (Net,), {})()


def traced() -> nn.Module:
    return torch.fx.symbolic_trace(Net())


def exported() -> nn.Module:
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes = ({0: batch},)
    return torch.export.export(Net().eval(), (torch.zeros(2, 8),), dynamic_shapes=shapes).module()


def scripted() -> nn.Module:
    return torch.jit.script(Net())


def compiled() -> nn.Module:
    return torch.compile(Net())


@functools.cache
def kept() -> nn.Module:
    """The same module in each call."""
    return Net()


class Nothing(Net):
    """Its `train` and `eval` return nothing."""

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)

    def eval(self) -> None:  # type: ignore[override]
        super().eval()


def nothing() -> nn.Module:
    return Nothing()


class Table(Net):
    """A random buffer that the state dict leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.randn(8), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x + self.table)


def table() -> nn.Module:
    return Table()


class Attributes(Net):
    """Random tensors as attributes, in a list and in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.randn(8)
        self.scales = [torch.rand(8), torch.rand(8)]
        self.more = {"last": torch.randn(4)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward((x + self.shift) * self.scales[0] / (1 + self.scales[1])) + self.more["last"]


def attributes() -> nn.Module:
    return Attributes()


class Unregistered(nn.Module):
    """Layers in a list, and a parameter that a list names again."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(8, 8), nn.Linear(8, 8)]
        self.head = nn.Linear(8, 4)
        self.weights = [self.head.weight]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x @ self.weights[0].t() + self.head.bias


def unregistered() -> nn.Module:
    return Unregistered()


class Slots(Net):
    __slots__ = ("shift",)

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "shift", torch.randn(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x + self.shift)


def slots() -> nn.Module:
    return Slots()


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(16), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(4))


def half() -> nn.Module:
    return Net().half()


def bfloat16() -> nn.Module:
    return Net().bfloat16()


def double() -> nn.Module:
    return Net().double()


def quantized() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(Net().eval(), {nn.Linear})


def hooked() -> nn.Module:
    net = Net()
    net.body.register_forward_hook(lambda _module, _inputs, result: result * 2)
    net.register_forward_pre_hook(lambda _module, inputs: (inputs[0] + 1,))
    return net


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))))


def tied() -> nn.Module:
    return Tied()


class ByName(Net):
    """Inputs by keyword only."""

    def forward(self, *, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


def by_name() -> nn.Module:
    return ByName()


class Optional(nn.Module):
    """The second parameter may be left out: inputs `x` and `mask` are its first and third."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 4)

    def forward(
        self, x: torch.Tensor, shift: torch.Tensor | None = None, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        if shift is not None:
            x = x + 100 * shift
        return self.head(x if mask is None else x * mask)


def optional() -> nn.Module:
    return Optional()


class FromDict(Net):
    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return super().forward(batch["x"])


def from_dict() -> nn.Module:
    return FromDict()


class Changing(Net):
    """Changes its input: the same array would be another one in the next call."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.sub_(0.5).mul_(3)
        return super().forward(x)


def changing() -> nn.Module:
    return Changing()


class Reusing(Net):
    """Writes its output into memory that it keeps."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "memory") or len(self.memory) < len(x):
            self.memory = torch.empty(max(len(x), 64), 4)
        result = self.memory[: len(x)]
        return result.copy_(super().forward(x))


def reusing() -> nn.Module:
    return Reusing()


class Random(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x + torch.rand(8))


def random() -> nn.Module:
    return Random()


def batch_statistics() -> nn.Module:
    """Statistics of the batch, also in eval mode, and no batch of one."""
    return nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16, track_running_stats=False), nn.ReLU(), nn.Linear(16, 4)
    )


class Branching(Net):
    """Its path depends on the data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return super().forward(x)
        return super().forward(-x)


def branching() -> nn.Module:
    return Branching()


def meta() -> nn.Module:
    with torch.device("meta"):
        return Net()


def restless() -> nn.Module:
    """Changes what a process has for all its code."""
    torch.set_num_threads(7)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    os.chdir("/")
    sys.path.insert(0, "/no/such/folder")
    torch.manual_seed(5)
    with torch.device("cpu"):
        return Net().float()


class Answer(NamedTuple):
    logits: torch.Tensor
    hidden: torch.Tensor | None


@dataclasses.dataclass(frozen=True)
class Outcome:
    logits: torch.Tensor
    states: tuple[torch.Tensor, ...]
    note: None = None


class Word:
    pass


class Trees(Net):
    """Returns its outputs in the container that `kind` names."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> Any:
        hidden = torch.relu(self.body(x))
        logits = self.head(hidden)
        return {
            "nested": lambda: (logits, (hidden, [hidden * 2, None]), None),
            "named": lambda: Answer(logits, None),
            "dataclass": lambda: Outcome(logits, (hidden, hidden + 1)),
            "dicts": lambda: [{"scores": logits, "boxes": hidden}, {"scores": logits + 1}],
            "numbers": lambda: {"logits": logits, "temperature": 0.5, "steps": 3, "done": True},
            "kinds": lambda: (logits.argmax(1), logits > 0, logits.sum(), torch.arange(3)),
            "twice": lambda: {"x": x, "a": logits, "b": logits},
            "complex": lambda: torch.complex(logits, logits * 2),
            "text": lambda: {"logits": logits, "label": "cat"},
            "object": lambda: (logits, [Word()]),
            "none": lambda: None,
        }[self.kind]()


def trees(kind: str) -> nn.Module:
    return Trees(kind)
