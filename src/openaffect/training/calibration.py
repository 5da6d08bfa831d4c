"""How label scores become probabilities that mean what they say, fitted on validation clips."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from openaffect.inference.answers import TELLING_STREAMS, LabelCalibration
from openaffect.inference.engine import Stream
from openaffect.models.generation import MediaGeneration
from openaffect.prompts.conversation import Given
from openaffect.training.batches import collate
from openaffect.training.examples import ExampleBuilder, left_of
from openaffect.training.features import Features

TEMPERATURES = tuple(0.5 * 1.05**step for step in range(58))  # 0.5 to 8, in steps of 5 %
ALONE_WEIGHTS = tuple(0.1 * step for step in range(11))


@dataclass(frozen=True)
class LabelReadings:
    """Log-likelihoods of the labels of one clip's set."""

    whole: Sequence[float]  # given everything
    alone: Sequence[Sequence[float]]  # given each telling stream by itself; none where it is all


def label_scores(
    model: MediaGeneration,
    builder: ExampleBuilder,
    given: Given,
    features: Features,
    labels: Sequence[str],
) -> list[float]:
    """Log-likelihood of every label as the answer, from cached features."""
    dialogue = builder.dialogue
    example = builder.example(given, features, dialogue.label_question(labels), "")  # type: ignore[arg-type]
    batch = collate([example], builder.processor.tokenizer.pad_token_id)
    length = len(example.prompt_ids)
    inputs = {name: t.to(model.device) for name, t in batch.items() if name != "labels"}
    for name in ("input_ids", "attention_mask"):
        inputs[name] = inputs[name][:, :length]
    answers = [dialogue.answer_ids(label) for label in labels]
    return Stream.open(model, inputs).score(answers)


def readings(
    model: MediaGeneration,
    builder: ExampleBuilder,
    given: Given,
    features: Features,
    labels: Sequence[str],
) -> LabelReadings:
    """A clip's label scores as `Conversation.label_probabilities` takes them."""
    whole = label_scores(model, builder, given, features, labels)
    telling = [stream for stream in TELLING_STREAMS if stream in given.streams]
    alone = []
    for stream in telling if len(given.streams) > 1 else ():
        one = given.only((stream,))
        alone.append(label_scores(model, builder, one, left_of(features, one), labels))
    return LabelReadings(whole, alone)


def fit(clips: Sequence[LabelReadings], truth: Sequence[int]) -> LabelCalibration:
    """The weight of single streams and the temperature with the least negative log-likelihood.

    Temperature scaling: Guo et al. 2017, section 4.2. `truth` are places in each clip's label set.
    """
    longest = max(len(clip.whole) for clip in clips)
    whole = torch.full((len(clips), longest), -math.inf, dtype=torch.float64)
    alone = torch.zeros_like(whole)
    for row, clip in enumerate(clips):
        whole[row, : len(clip.whole)] = torch.tensor(clip.whole)
        for scores in clip.alone:
            alone[row, : len(scores)] += torch.tensor(scores)
    right = torch.tensor(truth)

    def loss(choice: LabelCalibration) -> float:
        scores = (whole + choice.alone * alone) / choice.temperature
        return float(torch.nn.functional.cross_entropy(scores, right))

    return min((LabelCalibration(t, w) for w in ALONE_WEIGHTS for t in TEMPERATURES), key=loss)


def calibrate(
    model: MediaGeneration,
    builder: ExampleBuilder,
    clips: Sequence[tuple[Given, Features, str, Sequence[str]]],
) -> LabelCalibration:
    """Fit on clips of (given, features, true label, label set)."""
    model.eval()
    read = [readings(model, builder, g, f, labels) for g, f, _, labels in clips]
    return fit(read, [list(labels).index(label) for _, _, label, labels in clips])
