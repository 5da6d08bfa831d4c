"""One stage of training from its recipe: parts, corpora, features, loop, result."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from openaffect import DEFAULT_MODEL
from openaffect.corpora.emodb import read_emodb
from openaffect.corpora.manifest import LABELS, Row, read_manifest
from openaffect.corpora.merr import read_merr
from openaffect.corpora.ravdess import read_ravdess
from openaffect.corpora.synthetic.sentence_bank import text_rows
from openaffect.errors import ConfigError
from openaffect.media.face_detection import FaceDetector
from openaffect.models.assembly import assemble_small
from openaffect.models.checkpoints.published_configs import read_json
from openaffect.models.clip_processing import ClipProcessor
from openaffect.models.emotion_llama import (
    EmotionLlamaForConditionalGeneration,
    EmotionLlamaProcessor,
)
from openaffect.models.emotion_llama.modeling import lora_settings
from openaffect.models.generation import MediaGeneration
from openaffect.models.home import home
from openaffect.models.lora import LoraSettings
from openaffect.models.omni_emotion import OmniEmotionForConditionalGeneration, OmniEmotionProcessor
from openaffect.models.omni_emotion.projectors import FeatureNorm
from openaffect.models.store import FEATURES, part_directory
from openaffect.models.trained_parts import (
    freeze_all_but,
    halve_frozen,
    load_trained_parts,
    load_trained_tensors,
    read_settings,
    save_trained_parts,
    write_settings,
)
from openaffect.prompts.conversation import END_OF_TURN
from openaffect.prompts.dialogues import dialogue_of
from openaffect.prompts.emotion_llama import EmotionLlamaDialogue
from openaffect.training.alignment import CLUE_PHRASES, EmbeddingLoss
from openaffect.training.batches import TokenExample
from openaffect.training.calibration import calibrate
from openaffect.training.examples import LABEL_SETS, ExampleBuilder, label_of
from openaffect.training.face_changes import FaceScale
from openaffect.training.features import (
    ClipFeatures,
    FeatureFolder,
    Features,
    features_type,
)
from openaffect.training.published_tasks import StreamExampleBuilder
from openaffect.training.recipe import Corpus, Recipe
from openaffect.training.trainer import Objective, Progress, Trainer

SMALL_PARTS = ("text", "speech", "frame", "expression")
LANDMARKS = "landmarks"
NORM_SAMPLES = 4000  # feature vectors that standardisation figures are taken from
CALIBRATION_CLIPS = 100  # validation readings that the label temperature is fitted on
RESULT = "trained"  # folder of the best trained parts, within the recipe's output

Say = Callable[[str], None]


class StoredVariants(Sequence[Any]):
    """A row's features, read from their file at each use: a big frame's do not fit in memory."""

    def __init__(self, store: FeatureFolder, row: Row, count: int) -> None:
        self.store, self.row, self.variants = store, row, count

    def __len__(self) -> int:
        return self.variants

    def __getitem__(self, variant: Any) -> Any:
        if not 0 <= variant < self.variants:
            raise IndexError(variant)
        return self.store.load(self.row, variant)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row with its cached features and how often it is drawn."""

    row: Row
    variants: Sequence[Any]  # features of the clip itself, then of its augmented voices
    weight: float


def load_model(
    recipe: Recipe, parts: dict[str, Path] | None = None
) -> tuple[MediaGeneration, ClipProcessor]:
    """The model that a recipe names: a built checkpoint folder, or the small preset's parts.

    Raises:
        ConfigError: the recipe asks for a fusion that the checkpoint does not have.
        WeightsError: weights are missing.
    """
    folder = Path(recipe.model).expanduser()
    if (folder / "config.json").is_file() and _model_type(folder) == "emotion_llama":
        model = EmotionLlamaForConditionalGeneration.from_pretrained(folder)
        return model.eval(), EmotionLlamaProcessor.from_pretrained(folder)
    if not (folder / "config.json").is_file():
        parts = parts or {name: part_directory(recipe.model, name) for name in SMALL_PARTS}
        return assemble_small(parts, fusion=recipe.fusion, seed=recipe.seed)
    model = OmniEmotionForConditionalGeneration.from_pretrained(folder)
    if recipe.fusion not in (None, model.config.fusion):
        raise ConfigError(
            f"fusion: this checkpoint was built for {model.config.fusion}, not {recipe.fusion}; "
            f"build one with `openaffect models build --fusion {recipe.fusion}`"
        )
    return model.eval(), OmniEmotionProcessor.from_pretrained(folder)


def _model_type(folder: Path) -> str:
    return str(read_json(folder / "config.json").get("model_type"))


def read_corpus(name: str, corpus: Corpus) -> tuple[tuple[Row, ...], Path | None]:
    """The rows of one corpus and the folder that their media lie in.

    Raises:
        ConfigError: a corpus that needs a folder has none.
    """
    if corpus.kind == "sentences":
        return text_rows(), None
    if corpus.folder is None:
        raise ConfigError(f"corpora.{name}.folder is not set; {corpus.get}")
    folder = Path(corpus.folder).expanduser()
    if corpus.kind == "features":
        return FeatureFolder(folder).rows(), folder
    if corpus.kind == "merr":
        if corpus.list_file is None:
            raise ConfigError(f"corpora.{name}.list_file is not set; name the list in {folder}")
        return read_merr(folder, corpus.list_file), folder
    if corpus.kind == "manifest":
        path = folder if folder.is_file() else folder / "manifest.jsonl"
        return read_manifest(path), path.parent
    return (read_emodb if corpus.kind == "emodb" else read_ravdess)(folder), folder


def feature_folder(name: str, corpus: Corpus, preset: str, kind: type[Features]) -> FeatureFolder:
    """Where a corpus's features lie: its own folder if it is one of features, else in the home."""
    if corpus.kind == "features":
        return FeatureFolder(Path(corpus.folder or "").expanduser(), kind)
    return FeatureFolder(home() / FEATURES / Path(preset).name / name, kind)


def label_shares(rows: Sequence[Row]) -> dict[str | None, float]:
    """Factor for each label's training rows that makes all labels equally frequent."""
    counts = Counter(row.label for row in rows if row.split == "train")
    return {label: counts.total() / len(counts) / count for label, count in counts.items()}


def load_entries(
    recipe: Recipe,
    model: MediaGeneration,
    processor: ClipProcessor,
    say: Say,
    report: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> list[Entry]:
    """All rows of all corpora at hand, their features computed where they are not cached.

    A corpus without a folder is left out, which is said.
    """
    entries: list[Entry] = []
    for name, corpus in recipe.corpora.items():
        if corpus.kind != "sentences" and corpus.folder is None:
            say(f"corpus {name} is left out: corpora.{name}.folder is not set. {corpus.get}")
            continue
        rows, folder = read_corpus(name, corpus)
        rows = tuple(row for row in rows if row.split != "test")
        kind = features_type(model)
        store = feature_folder(name, corpus, recipe.model, kind)
        if folder is not None and corpus.kind != "features":
            rows = _extract(store, rows, folder, corpus, model, processor, recipe, say, report)
        elif corpus.kind == "features":
            store.check(model)
        shares = label_shares(rows) if corpus.balanced else {}
        for row in rows:
            count = store.variants(row) if row.media is not None else 0
            stored: Sequence[Any] = StoredVariants(store, row, min(count, corpus.variants))
            if kind is ClipFeatures:
                stored = tuple(stored)
            if stored or row.media is None:
                weight = corpus.weight * shares.get(row.label, 1.0)
                entries.append(Entry(row, stored or (kind(),), weight))
        say(f"corpus {name}: {len(rows)} rows")
    if not any(entry.row.split == "train" for entry in entries):
        raise ConfigError("no corpus gives any training row; set a corpora.<name>.folder")
    return entries


def _extract(
    store: FeatureFolder,
    rows: tuple[Row, ...],
    folder: Path,
    corpus: Corpus,
    model: MediaGeneration,
    processor: ClipProcessor,
    recipe: Recipe,
    say: Say,
    report: Callable[[str, int, int], None],
) -> tuple[Row, ...]:
    landmarks = part_directory(DEFAULT_MODEL, LANDMARKS)
    with FaceDetector(landmarks / "face_landmarker.task") as detector:
        failed = store.extract(
            rows,
            folder,
            model,
            processor,
            detector,
            corpus.variants,
            lambda done, total: report(store.folder.name, done, total),
        )
    for row_id, reason in failed.items():
        say(f"left out {row_id}: {reason}")
    return tuple(row for row in rows if row.id not in failed)


def fit_norms(model: MediaGeneration, entries: Sequence[Entry]) -> None:
    """Take the standardisation figures of the projectors' inputs from training features."""
    if isinstance(model, EmotionLlamaForConditionalGeneration):
        if model.config.normalise_features:
            _fit_stream_norms(model, entries)
        return
    rng = Random(0)
    train = [entry for entry in entries if entry.row.split == "train"]
    clips = [clip for entry in train for clip in entry.variants]
    rng.shuffle(clips)
    faces = [c.faces[c.face_mask].flatten(0, 1) for c in clips if c.faces is not None]
    _fit(model.model.face_projector.norm, faces)
    voices = [clip for clip in clips if clip.audio is not None]
    audio = model.model.audio_projector
    if audio.summary is not None and voices:
        _fit(audio.norm, [c.audio[0, 2:] for c in voices])  # type: ignore[index]
        _fit(audio.mean_norm, [c.audio[0, :1] for c in voices])  # type: ignore[index]
        _fit(audio.deviation_norm, [c.audio[0, 1:2] for c in voices])  # type: ignore[index]
        _fit(audio.signal_norm, [c.audio_signals[:1] for c in voices])  # type: ignore[index]


def _fit_stream_norms(
    model: EmotionLlamaForConditionalGeneration, entries: Sequence[Entry]
) -> None:
    train = [entry for entry in entries if entry.row.split == "train"]
    clips = [clip for entry in train for clip in entry.variants]
    Random(0).shuffle(clips)
    inner = model.model
    for norm, name in (
        (inner.face_projector.norm, "faces"),
        (inner.motion_projector.norm, "motion"),
        (inner.audio_projector.layer_norm, "audio"),
    ):
        _fit(norm, [found[None] for c in clips if (found := getattr(c, name)) is not None])
    signals = [clip.audio_signals for clip in clips if clip.audio_signals is not None]
    _fit(inner.audio_projector.signal_norm, signals)


def _fit(norm: torch.nn.Module, samples: Sequence[Tensor]) -> None:
    if isinstance(norm, FeatureNorm) and samples:
        norm.fit(torch.cat([sample.float() for sample in samples])[:NORM_SAMPLES])


def face_scale(model: MediaGeneration, entries: Sequence[Entry]) -> FaceScale | None:
    """What changes of measured face features need to know.

    None for a tower of pixels alone, and where no training clip shows a face.
    """
    if not isinstance(model, OmniEmotionForConditionalGeneration):
        return None
    norm, config = model.model.face_projector.norm, model.config.face_config
    if not isinstance(norm, FeatureNorm) or not hasattr(config, "group_slices"):
        return None
    groups = config.group_slices
    clips = [entry.variants[0] for entry in entries if entry.row.split == "train"]
    faces = [clip.faces[clip.face_mask] for clip in clips if clip.faces is not None]
    if not faces:
        return None
    lenders = torch.cat(faces).flatten(0, 1).float()
    return FaceScale(norm.shift.cpu().clone(), norm.scale.cpu().clone(), groups, lenders)


def drawer(
    builder: ExampleBuilder, entries: Sequence[Entry], seed: int
) -> Callable[[int, int], TokenExample]:
    """`draw(step, index)` over the training entries, by their weights."""
    train = [entry for entry in entries if entry.row.split == "train"]
    weights = [entry.weight for entry in train]

    def draw(step: int, index: int) -> TokenExample:
        rng = Random(f"{seed}/{step}/{index}")
        entry = rng.choices(train, weights)[0]
        return builder.build(entry.row, rng.choice(entry.variants), rng, training=True)

    return draw


def validation_examples(
    builder: ExampleBuilder, entries: Sequence[Entry], count: int
) -> list[TokenExample]:
    """A fixed sample of the validation rows, with dropout of whole streams as in training.

    Raises:
        ConfigError: no corpus has a validation row.
    """
    held = [entry for entry in entries if entry.row.split == "validation"]
    if not held:
        raise ConfigError("no corpus gives any validation row")
    rng = Random(0)
    chosen = rng.choices(held, [entry.weight for entry in held], k=count)
    return [builder.build(entry.row, entry.variants[0], rng, training=True) for entry in chosen]


def embedding_objective(
    model: OmniEmotionForConditionalGeneration, processor: OmniEmotionProcessor
) -> EmbeddingLoss:
    """The alignment objective over all labels of the corpora and all clues."""

    def ids(text: str) -> list[int]:
        return processor.tokenizer(text, add_special_tokens=False)["input_ids"]

    answers = [ids(label + END_OF_TURN) for label in LABELS]
    words = [ids(f" {label}") for label in LABELS]
    phrases = {stream: [ids(f" {told}") for told in says] for stream, says in CLUE_PHRASES.items()}
    return EmbeddingLoss(model, answers, words, phrases)


def store_temperature(
    model: OmniEmotionForConditionalGeneration,
    builder: ExampleBuilder,
    entries: Sequence[Entry],
    result: Path,
    seed: int,
    say: Say,
) -> None:
    """Fit the label temperature of the stored parts and write it beside them.

    Each validation row counts once, with all its streams and once more with some left out.
    """
    load_trained_tensors(model, result)
    clips = []
    for entry in entries:
        if entry.row.split == "validation":
            for training in (False, True):
                rng = Random(f"{seed}/{entry.row.id}")
                given, kept = builder.given(entry.row, entry.variants[0], rng, training)
                label = label_of(entry.row, given)
                fitting = [labels for labels in LABEL_SETS if label in labels]
                clips.append((given, kept, label, rng.choice(fitting)))
    clips = Random(seed).sample(clips, min(len(clips), CALIBRATION_CLIPS))
    temperature = calibrate(model, builder, clips)
    settings = read_settings(result) | {"temperature": round(temperature, 3)}
    write_settings(result, settings)
    say(f"label temperature {temperature:.2f}, fitted on {len(clips)} validation readings")


def run_stage(
    recipe: Recipe,
    say: Say = print,
    report: Callable[[Progress], None] = lambda progress: None,
    extracting: Callable[[str, int, int], None] = lambda name, done, total: None,
    parts: dict[str, Path] | None = None,
) -> Path:
    """Train one stage; returns the folder of its best trained parts.

    An interrupted run continues where it was. `parts` takes the place of the preset's part folders.

    Raises:
        ConfigError: the recipe does not fit the corpora or the model.
    """
    model, processor = load_model(recipe, parts)
    model.to(recipe.device)  # before the features: the towers run there
    if recipe.dropout.mixing:
        model.config.stream_mixing = recipe.dropout.mixing
    lora = None
    streams = isinstance(model, EmotionLlamaForConditionalGeneration)
    if streams != bool(recipe.task_pool):
        raise ConfigError(
            "task_pool is Emotion-LLaMA's, and no other model's; "
            f"{recipe.model} {'needs one' if streams else 'takes tasks'}"
        )
    if streams and recipe.objective != "answer":
        raise ConfigError("objective embedding is not there for Emotion-LLaMA; take answer")
    if recipe.objective == "embedding" and (recipe.tasks.reason or recipe.tasks.stream):
        raise ConfigError("objective embedding aligns labels: set tasks.reason and stream to 0")
    if recipe.lora is not None:
        settings = recipe.lora
        lora = LoraSettings(settings.r, settings.alpha, settings.dropout, settings.targets)
    elif streams:
        lora = lora_settings(model.config)
    entries = load_entries(recipe, model, processor, say, extracting)
    if recipe.start is None:
        fit_norms(model, entries)
    else:
        # Fusion may begin here: the stages before it never run the fused sequence.
        begins = ("fusion",) if "fusion" in recipe.trains else ()
        load_trained_parts(model, Path(recipe.start), begins)
    torch.manual_seed(recipe.seed)  # new adapters are drawn at random
    freeze_all_but(model, recipe.trains, lora)
    builder = example_builder(recipe, model, processor, entries)
    entries = [entry for entry in entries if builder.usable(entry.row, entry.variants[0])]
    output = Path(recipe.output)
    output.mkdir(parents=True, exist_ok=True)
    (output / "recipe.json").write_text(json.dumps(recipe.model_dump(), indent=2) + "\n")
    result = output / RESULT
    trained_for = {"stage": recipe.stage, "seed": recipe.seed, **processor.settings}
    model.to(recipe.device)  # adapters made since
    if recipe.schedule.precision == "bfloat16":
        halve_frozen(model)
    trainer = Trainer(
        model,
        drawer(builder, entries, recipe.seed),
        validation_examples(builder, entries, recipe.schedule.validation_examples),
        recipe.schedule,
        output,
        processor.tokenizer.pad_token_id,
        recipe.seed,
        lambda: save_trained_parts(model, lora, result, trained_for, torch.float32),
        _objective(recipe, model, processor),
    )
    if trainer.resume():
        say(f"continuing {output} at step {trainer.step}")
    trainer.run(report)
    if not streams and recipe.tasks.label and "language_model" in recipe.trains:
        store_temperature(model, builder, entries, result, recipe.seed, say)
    draw_curve(trainer.history, output / "loss.png", recipe.stage)
    return result


def _objective(
    recipe: Recipe, model: MediaGeneration, processor: ClipProcessor
) -> Objective | None:
    if recipe.objective == "answer":
        return None
    return embedding_objective(model, processor)  # type: ignore[arg-type, return-value]


def example_builder(
    recipe: Recipe, model: MediaGeneration, processor: ClipProcessor, entries: Sequence[Entry]
) -> ExampleBuilder:
    """What writes the examples of the model's family."""
    dialogue = dialogue_of(processor)
    if isinstance(dialogue, EmotionLlamaDialogue):
        return StreamExampleBuilder(
            dialogue, recipe.task_pool, recipe.dropout, recipe.streams, recipe.labels
        )
    scale = face_scale(model, entries)
    return ExampleBuilder(processor, recipe.tasks, recipe.dropout, scale, recipe.streams)  # type: ignore[arg-type]


def draw_curve(history: Sequence[dict], path: Path, title: str) -> None:
    """Draw training and validation loss over steps, if matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([row["step"] for row in history], [row["loss"] for row in history], lw=0.7)
    held = [row for row in history if "validation" in row]
    axes.plot([row["step"] for row in held], [row["validation"] for row in held], marker="o")
    axes.set(xlabel="step", ylabel="loss", title=title)
    axes.legend(["training", "validation"])
    figure.savefig(path, dpi=120)
