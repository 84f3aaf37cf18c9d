"""The texts of an exported model: the script that loads and runs it, and its card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Tensor = dict[str, Any]
"""Name, shape and dtype of an input or output."""
SCRIPT, CARD, EXAMPLE = "run_model.py", "README.txt", "example.npz"
_SCRIPT = '''\
"""{title}

`python {script}` runs the example and prints how far its outputs are from those of the measured Session.
In a program of your own: `model = load()`, then `outputs = run(model, inputs)` with a list of arrays.
"""

from pathlib import Path

import numpy as np
{lines}

FOLDER = Path(__file__).resolve().parent


def main():
    """Run the example; print the largest difference from the measured Session's outputs, and return ours."""
    with np.load(FOLDER / "{example}") as example:
        inputs = [example[f"input_{{i}}"] for i in range({inputs})]
        measured = [example[f"output_{{i}}"] for i in range({outputs})]
    ours = [np.asarray(output) for output in run(load(), inputs)]
    for number, (mine, theirs) in enumerate(zip(ours, measured, strict=True)):
        apart = np.max(np.abs(mine - 1.0 * theirs), initial=0.0)
        largest = np.max(np.abs(1.0 * theirs), initial=0.0)
        print(f"output {{number}}: shape {{mine.shape}}, {{mine.dtype}}; largest difference {{apart:.3g}}")
        print(f"  from the measured outputs, whose largest value is {{largest:.3g}}")
    return ours


if __name__ == "__main__":
    main()
'''


def script(title: str, lines: str, inputs: int, outputs: int) -> str:
    """Return the script: a runtime's `lines`, and a start that runs the example."""
    plain = " ".join(title.replace("\\", "/").replace('"', "'").split())  # it stands in a docstring
    return _SCRIPT.format(
        title=plain, script=SCRIPT, example=EXAMPLE, lines=lines, inputs=inputs, outputs=outputs
    )


def card(
    title: str, about: Sequence[str], inputs: list[Tensor], outputs: list[Tensor], needs: Sequence[str]
) -> str:
    """Return the model card; it ends with `needs`: what is not in the folder, and the check's result."""
    found = [
        title,
        "=" * len(title),
        *about,
        "",
        f"{SCRIPT} loads and runs the model; start it with: python {SCRIPT}",
        f"{EXAMPLE} holds the first batch of the evaluation data, and the measured Session's outputs for it.",
        "",
        "Inputs, as measured:",
        *map(_line, inputs),
        "Outputs:",
        *map(_line, outputs),
        "",
        *needs,
    ]
    return "\n".join(found) + "\n"


def _line(tensor: Tensor) -> str:
    return f"  {tensor['name']}: {tensor['dtype']} {tuple(tensor['shape'])}"
