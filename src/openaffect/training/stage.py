"""One stage of training from its recipe: parts, corpora, features, loop, result."""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch

from openaffect import DEFAULT_MODEL
from openaffect.corpora.manifest import LABELS, Row
from openaffect.errors import ConfigError, install
from openaffect.media.face_detection import FaceDetector
from openaffect.media.folder import check_folder
from openaffect.models.assembly import assemble_small
from openaffect.models.checkpoints.load import load_checkpoint
from openaffect.models.clip_processing import ClipProcessor
from openaffect.models.device import checked_device
from openaffect.models.emotion_llama import EmotionLlamaForConditionalGeneration
from openaffect.models.emotion_llama.modeling import lora_settings
from openaffect.models.emotion_llama_small import assemble_emotion_llama_small
from openaffect.models.generation import MediaGeneration
from openaffect.models.lora import LoraSettings
from openaffect.models.preset import EMOTION_LLAMA_SMALL, SMALL_PRESETS
from openaffect.models.store import part_directory
from openaffect.models.trained_parts import (
    LANGUAGE_MODEL_FILE,
    TRAINED_LABELS,
    freeze_all_but,
    halve_frozen,
    has_beside,
    load_trained_parts,
    read_settings,
    recover,
    save_average,
    save_trained_parts,
    widen,
)
from openaffect.prompts.dialogues import dialogue_of
from openaffect.prompts.emotion_llama import EmotionLlamaDialogue
from openaffect.training.alignment import CLUE_PHRASES, EmbeddingLoss
from openaffect.training.batches import TokenExample
from openaffect.training.calibration import store_temperature
from openaffect.training.continuing import (
    check_no_adapters,
    check_precision,
    check_same_run,
    kept_files,
    kept_settings,
    note_run,
    start_lora,
)
from openaffect.training.corpora import (
    NO_TRAINING,
    NO_VALIDATION,
    CorpusRows,
    corpora_told,
    feature_folder,
    label_shares,
    read_corpora,
    share_of,
)
from openaffect.training.curve import draw_curve
from openaffect.training.entries import Entry, StoredVariants
from openaffect.training.examples import ExampleBuilder
from openaffect.training.features import (
    ClipFeatures,
    FeatureFolder,
    features_type,
)
from openaffect.training.norms import face_scale, fit_norms
from openaffect.training.published_tasks import StreamExampleBuilder
from openaffect.training.recipe import Corpus, Recipe
from openaffect.training.shared_features import fitting
from openaffect.training.trainer import Progress, Trainer

SMALL_PARTS = ("text", "speech", "frame", "expression")
LANDMARKS = "landmarks"
RESULT = "trained"  # folder of the best trained parts, within the recipe's output
ALONE = "trained_alone"  # that of those before `keep_start` makes the result of them
NO_FUSION = "fusion: Emotion-LLaMA has no choice of it; leave out {}"
HELD_BYTES = 4_000_000_000  # of one corpus's features; more are read from their files at each use

Say = Callable[[str], None]


def load_model(
    recipe: Recipe, parts: dict[str, Path] | None = None
) -> tuple[MediaGeneration, ClipProcessor]:
    """The model that a recipe names: a built checkpoint folder, or the small preset's parts.

    Raises:
        ConfigError: the recipe asks for a fusion that the model does not have, or names neither a
            small preset nor a checkpoint folder.
        WeightsError: weights are missing.
    """
    folder = Path(recipe.model).expanduser()
    if not (folder / "config.json").is_file():
        if recipe.model not in SMALL_PRESETS:
            raise ConfigError(
                f"model: {recipe.model} is no small preset ({', '.join(SMALL_PRESETS)}) and no "
                "checkpoint folder lies there; build one with `openaffect models build` and give "
                "model=DIR"
            )
        parts = parts or {name: part_directory(recipe.model, name) for name in SMALL_PARTS}
        if recipe.model == EMOTION_LLAMA_SMALL:
            if recipe.fusion is not None:
                raise ConfigError(NO_FUSION.format(recipe.fusion))
            return assemble_emotion_llama_small(parts, seed=recipe.seed)
        return assemble_small(parts, fusion=recipe.fusion, seed=recipe.seed)
    model, processor = load_checkpoint(folder)
    built = getattr(model.config, "fusion", None)
    if recipe.fusion not in (None, built):
        raise ConfigError(
            f"fusion: this checkpoint was built for {built}, not {recipe.fusion}; "
            f"build one with `openaffect models build --fusion {recipe.fusion}`"
            if built is not None
            else NO_FUSION.format(recipe.fusion)
        )
    return model, processor


def load_entries(
    recipe: Recipe,
    read: Sequence[CorpusRows],
    model: MediaGeneration,
    processor: ClipProcessor,
    say: Say,
    report: Callable[[str, int, int], None] = lambda name, done, total: None,
    parts: dict[str, Path] | None = None,
) -> list[Entry]:
    """All rows of the corpora that were read, their features computed where they are not cached.

    What each corpus gives is said.

    Raises:
        ConfigError: the recipe reads another preset's features, and that one's towers differ.
    """
    given: list[tuple[CorpusRows, list[Entry]]] = []
    preset = recipe.features or recipe.model
    if recipe.features is not None:
        other = load_model(recipe.model_copy(update={"model": preset, "fusion": None}), parts)
        fitting(model, processor, *other)
        model, processor = other
        model.to(recipe.device)
    kind = features_type(model)
    for found in read:
        entries: list[Entry] = []
        corpus, folder, rows = found.corpus, found.folder, found.rows
        store = feature_folder(found.name, corpus, preset, kind)
        if folder is not None and corpus.kind != "features":
            rows = _extract(store, rows, folder, corpus, model, processor, recipe, say, report)
        elif corpus.kind == "features":
            store.check(model, processor)
        rows = share_of(rows, corpus.share)
        shares = label_shares(rows) if corpus.balanced else {}
        held = kind is ClipFeatures and store.bytes <= HELD_BYTES
        for row in rows:
            count = store.variants(row) if row.media is not None else 0
            stored: Sequence[Any] = StoredVariants(store, row, min(count, corpus.variants))
            if held:
                stored = tuple(stored)
            if stored or row.media is None:
                weight = corpus.weight * shares.get(row.label, 1.0)
                origins = [store.origin(row, variant) for variant in range(len(stored))]
                entries.append(Entry(row, stored or (kind(),), weight, origins))
        given.append((found, entries))
    for line in corpora_told(given):
        say(line)
    everything = [entry for _, entries in given for entry in entries]
    if not any(entry.row.split == "train" for entry in everything):
        raise ConfigError(NO_TRAINING)
    return everything


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
        raise ConfigError(NO_VALIDATION)
    rng = Random(0)
    chosen = rng.choices(held, [entry.weight for entry in held], k=count)
    return [builder.build(entry.row, entry.variants[0], rng, training=True) for entry in chosen]


def embedding_objective(model: MediaGeneration, processor: ClipProcessor) -> EmbeddingLoss:
    """The alignment objective over all labels of the corpora and all clues."""
    dialogue = dialogue_of(processor)
    answers = [dialogue.answer_ids(label) for label in LABELS]
    words = [dialogue.word_ids(label) for label in LABELS]
    phrases = {
        stream: [dialogue.word_ids(told) for told in says] for stream, says in CLUE_PHRASES.items()
    }
    return EmbeddingLoss(model, answers, words, phrases)


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
        ConfigError: the recipe does not fit the corpora or the model, or another run is there.
        UsageError: there is no such device.
    """
    device = checked_device(recipe.device)
    output = Path(recipe.output)
    check_folder(output, "output")
    read = read_corpora(recipe, say)
    model, processor = load_model(recipe, parts)
    model.to(device)  # before the features: the towers run there
    lora = None
    streams = isinstance(model, EmotionLlamaForConditionalGeneration)
    if recipe.dropout.mixing:
        if streams or recipe.objective == "embedding":
            raise ConfigError(
                "dropout.mixing is for instruction tuning of Omni-Emotion alone; set it to 0 here"
            )
        model.config.stream_mixing = recipe.dropout.mixing
    if streams != bool(recipe.task_pool):
        raise ConfigError(
            "task_pool is Emotion-LLaMA's, and no other model's; "
            f"{recipe.model} {'needs one' if streams else 'takes tasks'}"
        )
    if recipe.objective == "embedding":
        if streams and set(recipe.task_pool) != {"emotion"}:
            raise ConfigError("objective embedding aligns labels: set task_pool to [emotion]")
        tasks = recipe.tasks
        if not streams and (tasks.reason or tasks.stream or tasks.text or tasks.transcribe):
            raise ConfigError("objective embedding aligns labels: set all other tasks to 0")
    if recipe.lora is not None:
        settings = recipe.lora
        lora = LoraSettings(settings.r, settings.alpha, settings.dropout, settings.targets)
    model_adapters = lora_settings(model.config) if streams else None
    check_no_adapters(recipe, model_adapters)
    lora = start_lora(lora, model_adapters, Path(recipe.model))
    check_same_run(recipe, output)
    check_precision(recipe)
    averaged = kept_files(recipe, lora)
    entries = load_entries(recipe, read, model, processor, say, extracting, parts)
    carried = False  # a language model that was trained whole before
    before: dict = {}  # settings of the parts that this stage starts from
    widen(model)
    if recipe.start is None:
        fit_norms(model, entries)
    else:
        # Fusion may begin here: the stages before it never run the fused sequence.
        begins = ("fusion",) if "fusion" in recipe.trains else ()
        start = Path(recipe.start)
        carried, before = has_beside(start, LANGUAGE_MODEL_FILE), read_settings(start)
        if carried:  # filled unrounded
            model.model.language_model.float()
            model.lm_head.float()
        lora = start_lora(lora, load_trained_parts(model, start, begins), start)
        for part in fit_norms(model, entries, recipe.trains):
            if recipe.keep_start:
                raise ConfigError(
                    f"keep_start: {start} has no trained {part} to keep; leave it out"
                )
            say(f"{part}: its inputs are standardised from here on; {start} saw none of them")
    whole = carried or ("language_model" in recipe.trains and lora is None)
    torch.manual_seed(recipe.seed)  # new adapters are drawn at random
    freeze_all_but(model, recipe.trains, lora)
    if streams and not recipe.labels:
        processor.labels = before.get(TRAINED_LABELS, processor.labels)
    builder = example_builder(recipe, model, processor, entries)
    found, entries = entries, [e for e in entries if builder.usable(e.row, e.variants[0])]
    if len(entries) < len(found):
        left_out = len(found) - len(entries)
        say(f"{left_out} rows have no label that is asked for, or none of the recipe's streams")
    if not any(entry.row.split == "train" for entry in entries):
        raise ConfigError("no training row has a label that is asked for and one of the streams")
    note_run(recipe, found, output)
    result = output / RESULT
    best = output / ALONE if recipe.keep_start else result
    trained_for = {
        "model": Path(recipe.model).name,
        "stage": recipe.stage,
        "seed": recipe.seed,
        **processor.settings,
    }
    trained_for |= kept_settings(before, recipe.labels if streams else ())
    recover(best)
    model.to(device)  # adapters made since
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
        lambda: save_trained_parts(model, lora, best, trained_for, torch.float32, whole=whole),
        embedding_objective(model, processor) if recipe.objective == "embedding" else None,
    )
    if trainer.resume():
        say(f"continuing {output} at step {trainer.step}")
    trainer.run(report)
    if recipe.keep_start:
        save_average(best, Path(recipe.start or ""), recipe.keep_start, result, averaged)
    asks = "emotion" in recipe.task_pool if streams else recipe.tasks.label > 0
    count = recipe.schedule.calibration_examples
    if asks and count and "language_model" in recipe.trains:
        store_temperature(model, builder, entries, result, count, recipe.seed, say)
    if not draw_curve(trainer.history, output / "loss.png", recipe.stage):
        say(install(f"no loss.png in {output}: it", "matplotlib", "train"))
    return result


def example_builder(
    recipe: Recipe, model: MediaGeneration, processor: ClipProcessor, entries: Sequence[Entry]
) -> ExampleBuilder:
    """What writes the examples of the model's family."""
    dialogue = dialogue_of(processor)
    scale = face_scale(model, entries)
    if isinstance(dialogue, EmotionLlamaDialogue):
        return StreamExampleBuilder(
            dialogue, recipe.task_pool, recipe.dropout, recipe.streams, recipe.labels, scale
        )
    return ExampleBuilder(processor, recipe.tasks, recipe.dropout, scale, recipe.streams)  # type: ignore[arg-type]
