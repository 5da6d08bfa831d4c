"""A training step of projectors alone against a step of everything, on the small default.

    python benchmarks/training_step.py [--steps 4] [--batch 8] [--threads 2]

The same random clips and questions for all; every kind of step is warmed up once, then timed. What
trains: the projectors by nearness to label words (the recipes of stages 1 and 2), the projectors
through the frozen language model, projectors with LoRA (stage 3), projectors with the whole
language model. Prints seconds a step, the ratio to the last, and the bytes of gradient buffers.
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch

from openaffect.corpora.manifest import CORE_LABELS, Row
from openaffect.corpora.synthetic.sentence_bank import text_rows
from openaffect.media.face_detection import BLENDSHAPE_NAMES
from openaffect.models.assembly import assemble_small
from openaffect.models.lora import LoraSettings
from openaffect.models.omni_emotion import OmniEmotionForConditionalGeneration, OmniEmotionProcessor
from openaffect.models.store import part_directory
from openaffect.models.trained_parts import freeze_all_but
from openaffect.training.batches import Example
from openaffect.training.examples import ExampleBuilder
from openaffect.training.features import ClipFeatures
from openaffect.training.recipe import Dropout, Schedule, Tasks
from openaffect.training.stage import SMALL_PARTS, embedding_objective
from openaffect.training.trainer import Trainer

PRESET = "omni-emotion-small"
PROJECTORS = ("vision_projector", "audio_projector", "face_projector")
FRAMES, MEL_FRAMES = 8, 300  # a clip of 3 s
LORA_TARGETS = ("q_proj", "v_proj", "o_proj", "down_proj")
LORA = LoraSettings(
    r=16,
    lora_alpha=32,
    lora_dropout=0.0,
    target_modules=LORA_TARGETS,
)
KINDS = {
    "projectors, by nearness": (PROJECTORS[1:], None, True),
    "projectors, through the language model": (PROJECTORS, None, False),
    "projectors and LoRA": ((*PROJECTORS, "language_model"), LORA, False),
    "projectors and the whole language model": ((*PROJECTORS, "language_model"), None, False),
}


def random_clip(
    model: OmniEmotionForConditionalGeneration, processor: OmniEmotionProcessor, seed: int
) -> ClipFeatures:
    """Features of one clip with a scene, a face and a voice, all random."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    config = model.config
    layers, size = len(config.audio_layers), config.audio_config.hidden_size
    return ClipFeatures(
        video=normal(FRAMES, 1, config.vision_config.hidden_size),
        faces=normal(1, FRAMES, 1, config.face_config.hidden_size),
        face_mask=torch.ones(1, FRAMES, dtype=torch.bool),
        blendshapes=torch.rand(FRAMES, len(BLENDSHAPE_NAMES), generator=generator),
        audio=normal(1, processor.audio_length([MEL_FRAMES]) + 1, layers, size),
        audio_lengths=torch.tensor([MEL_FRAMES]),
        audio_signals=normal(1, config.audio_signal_size),
    )


def rows(count: int) -> list[Row]:
    """Sentences of the bank with the labels that a clip would have."""
    chosen = [row for row in text_rows() if row.label in CORE_LABELS][:count]
    return [dataclasses.replace(r, face_label=r.label, voice_label=r.label) for r in chosen]


def measure(kind: str, batch: int, steps: int) -> tuple[float, int, int]:
    """Seconds a step; bytes of gradients in all, and those of the language model."""
    trains, lora, nearness = KINDS[kind]
    model, processor = assemble_small({n: part_directory(PRESET, n) for n in SMALL_PARTS})
    freeze_all_but(model, trains, lora)
    tasks = Tasks(label=1, reason=0 if nearness else 1)
    streams: Sequence[str] = ("face", "voice") if nearness else ("face", "voice", "scene", "words")
    builder = ExampleBuilder(processor, tasks, Dropout(stream=0, words=0, frames=0), None, streams)
    clips = rows(batch)

    def draw(step: int, index: int) -> Example:
        features = random_clip(model, processor, index)
        return builder.build(clips[index], features, Random(index), training=False)

    schedule = Schedule(steps=steps + 1, batch_size=batch, learning_rate=1e-4)
    objective = embedding_objective(model, processor) if nearness else None
    pad = processor.tokenizer.pad_token_id
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, draw, [], schedule, Path(folder), pad, 0, lambda: None, objective)
        trainer._train_step()
        begun = time.perf_counter()
        for _ in range(steps):
            trainer._train_step()
        seconds = (time.perf_counter() - begun) / steps
        losses, _ = trainer.objective(model, trainer._batch([draw(0, n) for n in range(batch)]))
        losses.sum().backward()  # a step leaves no gradients
    sizes = {
        name: parameter.grad.numel() * parameter.grad.element_size()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    language = sum(size for name, size in sizes.items() if "language_model" in name)
    return seconds, sum(sizes.values()), language


def main() -> None:
    """Measure every kind of step and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    found = {kind: measure(kind, chosen.batch, chosen.steps) for kind in KINDS}
    whole = list(found.values())[-1][0]
    print("| what trains | s a step | ratio | gradients, MB | of the language model, MB |")
    print("|---|---|---|---|---|")
    for kind, (seconds, total, language) in found.items():
        print(
            f"| {kind} | {seconds:.2f} | {seconds / whole:.2f} | {total / 1e6:.1f} "
            f"| {language / 1e6:.1f} |"
        )


if __name__ == "__main__":
    main()
