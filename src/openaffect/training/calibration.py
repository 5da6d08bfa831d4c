"""Temperatures that make label probabilities mean what they say, fitted on validation clips.

A face or a voice alone is read too surely; clips of which several streams tell are not. So each
kind has a temperature of its own.
"""

import math
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from random import Random

from openaffect.inference.engine import Stream
from openaffect.models.generation import MediaGeneration
from openaffect.models.trained_parts import (
    TEMPERATURE,
    TEMPERATURE_ALONE,
    load_trained_tensors,
    read_settings,
    write_settings,
)
from openaffect.prompts.conversation import Given
from openaffect.training.batches import collate
from openaffect.training.entries import Entry
from openaffect.training.examples import ExampleBuilder
from openaffect.training.features import Features

LEAST_READINGS = 40  # of a kind that has a temperature of its own
TEMPERATURES = tuple(0.5 * 1.05**step for step in range(58))  # 0.5 to 8, in steps of 5 %


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


def negative_log_likelihood(
    scores: Sequence[Sequence[float]], truth: Sequence[int], temperature: float
) -> float:
    """Mean over clips of -log of the true label's probability at a temperature."""
    total = 0.0
    for row, right in zip(scores, truth, strict=True):
        scaled = [score / temperature for score in row]
        highest = max(scaled)
        total += highest + math.log(sum(math.exp(s - highest) for s in scaled)) - scaled[right]
    return total / len(truth)


def fit_temperature(scores: Sequence[Sequence[float]], truth: Sequence[int]) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017, section 4.2)."""
    return min(TEMPERATURES, key=lambda t: negative_log_likelihood(scores, truth, t))


def fit_temperatures(
    scores: Sequence[Sequence[float]], truth: Sequence[int], lone: Sequence[bool]
) -> dict[str, float]:
    """The temperature of clips of which several of face, voice and words tell, and of `lone` ones.

    One temperature is fitted on all where either kind has too few clips.
    """

    def fitted(places: Sequence[int]) -> float:
        return fit_temperature([scores[p] for p in places], [truth[p] for p in places])

    alone, several = ([p for p, one in enumerate(lone) if one is kind] for kind in (True, False))
    if min(len(alone), len(several)) < LEAST_READINGS:
        return {TEMPERATURE: fitted(range(len(truth)))}
    return {TEMPERATURE: fitted(several), TEMPERATURE_ALONE: fitted(alone)}


def calibrate(
    model: MediaGeneration,
    builder: ExampleBuilder,
    clips: Sequence[tuple[Given, Features, str, Sequence[str]]],
) -> dict[str, float]:
    """Fit the temperatures on clips of (given, features, true label, label set)."""
    model.eval()
    scores = [label_scores(model, builder, g, f, labels) for g, f, _, labels in clips]
    truth = [list(labels).index(label) for _, _, label, labels in clips]
    return fit_temperatures(scores, truth, [given.lone for given, *_ in clips])


def drawn_evenly(
    readings: Sequence[tuple[Entry, bool]], count: int, seed: int
) -> list[tuple[Entry, bool]]:
    """At most `count` readings, as many of each corpus as of any other while they last."""
    corpora: dict[str, list[tuple[Entry, bool]]] = {}
    for reading in readings:
        corpora.setdefault(reading[0].row.source, []).append(reading)
    rng = Random(seed)
    for found in corpora.values():
        rng.shuffle(found)
    turns = zip_longest(*corpora.values())
    return [reading for turn in turns for reading in turn if reading is not None][:count]


def store_temperature(
    model: MediaGeneration,
    builder: ExampleBuilder,
    entries: Sequence[Entry],
    result: Path,
    count: int,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Fit the label temperatures of the stored parts and write them beside them.

    Each validation clip may count with all its streams, and once more with some left out.
    """
    load_trained_tensors(model, result)
    held = [entry for entry in entries if entry.row.split == "validation"]
    readings = [(entry, False) for entry in held]
    readings += [(entry, True) for entry in held if entry.row.media is not None]
    clips = []
    for entry, training in drawn_evenly(readings, count, seed):
        rng = Random(f"{seed}/{entry.row.id}")
        given, kept = builder.given(entry.row, entry.variants[0], rng, training)
        label = builder.label_of(entry.row, given)
        sets = [labels for labels in builder.label_sets(label) if label in labels]
        if sets:
            clips.append((given, kept, label, rng.choice(sets)))
    if not clips:
        say("no label temperature was fitted: no validation row has a label that is asked for")
        return
    found = {name: round(value, 3) for name, value in calibrate(model, builder, clips).items()}
    settings = read_settings(result)
    settings.pop(TEMPERATURE_ALONE, None)
    write_settings(result, settings | found)
    told = f"label temperature {found[TEMPERATURE]:.2f}"
    if TEMPERATURE_ALONE in found:
        told += f", {found[TEMPERATURE_ALONE]:.2f} without two of face, voice and words"
    say(f"{told}, fitted on {len(clips)} validation readings")
