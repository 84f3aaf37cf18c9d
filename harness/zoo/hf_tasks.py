"""The tasks of transformers that a checkpoint can be measured in, and the inputs that each one takes.

It imports no ML library: the manager guesses a task from a checkpoint's config.json.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import DataError
from harness.formats.tensors import TensorSpec

PADDED_POSITIONS = ("roberta", "xlm-roberta", "camembert")
"""Model types whose positions start after the padding id, so that fewer are left for tokens."""
IMAGE, AUDIO, MASK = "pixel_values", "input_values", "attention_mask"
_SIGNS = {
    AUDIO: {"feat_extract_norm", "num_mel_bins"},
    IMAGE: {"image_size", "num_channels", "backbone_config"},
}
"""Keys of a configuration that tell its main input; without them it is text."""


@dataclass(frozen=True)
class Task:
    """How a task is loaded: transformers' auto class and the ends of its classes' names (`heads`).

    `takes` is the name of the main input. `outputs` are the names of the outputs that are kept; without them
    the first one is, and of it only the `last` position if so.
    """

    model: str
    heads: tuple[str, ...]
    takes: str = "input_ids"
    outputs: tuple[str, ...] = ()
    last: bool = False


TASKS = {
    "audio-classification": Task(
        "AutoModelForAudioClassification", ("ForAudioClassification", "ForSequenceClassification"), AUDIO
    ),
    "automatic-speech-recognition": Task("AutoModelForCTC", ("ForCTC",), AUDIO),
    "depth-estimation": Task("AutoModelForDepthEstimation", ("ForDepthEstimation",), IMAGE),
    "feature-extraction": Task("AutoModel", ("Model",)),
    "fill-mask": Task("AutoModelForMaskedLM", ("ForMaskedLM",)),
    "image-classification": Task("AutoModelForImageClassification", ("ForImageClassification",), IMAGE),
    "image-feature-extraction": Task("AutoModel", ("Model",), IMAGE),
    "image-segmentation": Task("AutoModelForSemanticSegmentation", ("ForSemanticSegmentation",), IMAGE),
    "object-detection": Task(
        "AutoModelForObjectDetection", ("ForObjectDetection",), IMAGE, ("logits", "pred_boxes")
    ),
    "question-answering": Task(
        "AutoModelForQuestionAnswering", ("ForQuestionAnswering",), outputs=("start_logits", "end_logits")
    ),
    "text-classification": Task("AutoModelForSequenceClassification", ("ForSequenceClassification",)),
    "text-generation": Task("AutoModelForCausalLM", ("ForCausalLM", "LMHeadModel"), last=True),
    "token-classification": Task("AutoModelForTokenClassification", ("ForTokenClassification",)),
}


def guess_task(config: Mapping[str, Any]) -> str:
    """Return the task of a checkpoint by the `architectures` in its config.json. Raises DataError."""
    name = next(iter(config.get("architectures") or ["AutoModel"]))
    takes = next((main for main, signs in _SIGNS.items() if signs & set(config)), "input_ids")
    heads = {
        head: task
        for task, entry in TASKS.items()
        for head in entry.heads
        if name.endswith(head) and entry.takes == takes
    }
    if not heads or config.get("is_encoder_decoder"):
        raise DataError(f"it is a {name}; allowed are models for one of the tasks {', '.join(TASKS)}")
    return heads[max(heads, key=len)]


def task_inputs(
    task: Task, made: Any, known: Collection[str], *, tokens: int, image_size: int | None, audio_samples: int
) -> tuple[TensorSpec, ...]:
    """Return a model's inputs by its configuration `made` and the names `known` to its forward.

    Raises DataError for an input that cannot be made, or too many tokens.
    """
    if task.takes not in known:
        raise DataError(f"it does not take {task.takes}; it takes {', '.join(list(known)[:3])}")
    if task.takes == IMAGE:
        size = image_size or getattr(made, "image_size", None)
        if size is None:
            raise DataError("its configuration has no image_size; give image_size in the suite")
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        return (TensorSpec(name=IMAGE, shape=(getattr(made, "num_channels", 3), height, width)),)
    if task.takes == AUDIO:  # a waveform, or its spectrogram
        bins, frames = getattr(made, "num_mel_bins", None), getattr(made, "max_length", None)
        return (TensorSpec(name=AUDIO, shape=(frames, bins) if bins and frames else (audio_samples,)),)
    ids = _ids(made, tokens)
    if task.last or MASK not in known:  # a decoder needs no mask: all its tokens are text
        return (ids,)
    return (ids, TensorSpec(name=MASK, shape=ids.shape, dtype="int64", high=2, avoid=(0,)))


def _ids(made: Any, tokens: int) -> TensorSpec:
    """Return the ids of a vocabulary. Raises DataError for too many tokens."""
    most, vocabulary = getattr(made, "max_position_embeddings", None), getattr(made, "vocab_size", None)
    if vocabulary is None:
        raise DataError("its configuration has no vocab_size, so it takes no text")
    if most is not None and getattr(made, "model_type", "") in PADDED_POSITIONS:
        most -= (made.pad_token_id or 0) + 1
    if most is not None and tokens > most:
        raise DataError(f"it takes at most {most} tokens, not {tokens}")
    avoid = _special_ids(made, vocabulary)
    return TensorSpec(name="input_ids", shape=(tokens,), dtype="int64", high=vocabulary, avoid=avoid)


def _special_ids(made: Any, vocabulary: int) -> tuple[int, ...]:
    """Return the ids in the configuration that are not text: padding, begin, end and others.

    A model may skip padding, or take its output from the position of the end.
    """
    named = [value for key, value in made.to_dict().items() if key.endswith("_token_id")]
    ids = {one for value in named for one in (value if isinstance(value, list) else [value])}
    return tuple(sorted(one for one in ids if isinstance(one, int) and 0 <= one < vocabulary))
