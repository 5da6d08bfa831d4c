"""Recipes: one YAML file for each training stage, checked before anything is loaded."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from openaffect.errors import ConfigError

PartName = Literal[
    "vision_projector",
    "audio_projector",
    "face_projector",
    "motion_projector",
    "class_projector",
    "fusion",
    "language_model",
]
PublishedTask = Literal["emotion", "reason", "reason_v2", "infer", "caption"]
Stream = Literal["face", "voice", "scene", "words"]
Share = Annotated[float, Field(ge=0, le=1)]
PUBLISHED_FIELDS = ("min_learning_rate", "warmup_learning_rate", "epoch_steps")
"""Fields of a schedule that only its published shapes read.

`epoch_steps` may stay beside `published`, which an override changes into `published_in_epoch`.
"""


class Strict(BaseModel):
    """A section of a recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Lora(Strict):
    """Low-rank adapters of the language model; without them its own weights train."""

    r: int = Field(16, ge=1)  # rank
    alpha: int = Field(32, ge=1)  # the update is scaled by alpha / r
    dropout: Share = 0.05  # on the adapters' input
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")  # layers adapted


class Corpus(Strict):
    """Where one corpus lies; a corpus without a folder is left out, and the run says so."""

    kind: Literal[
        "manifest", "emodb", "ravdess", "sentences", "written", "features", "merr"
    ]  # which reader reads it
    list_file: str | None = None  # the list within the folder, for merr
    folder: str | None = None  # the user's copy; null leaves the corpus out
    get: str = ""  # where a user gets it, and its licence
    weight: float = Field(1.0, gt=0)  # how often a row is drawn, against rows of weight 1
    share: tuple[Share, Share] = (0.0, 1.0)  # part of the training rows, in their order
    balanced: bool = False  # rare labels are drawn as often as common ones
    variants: int = Field(1, ge=1)  # the clip itself and variants - 1 augmented voices

    @field_validator("share")
    @classmethod
    def _rising(cls, share: tuple[float, float]) -> tuple[float, float]:
        if share[0] >= share[1]:
            raise ValueError("a share begins before it ends, as [0, 0.6]")
        return share


class Tasks(Strict):
    """How often each task is drawn, as weights."""

    label: float = Field(1.0, ge=0)  # name one label out of a closed set
    reason: float = Field(1.0, ge=0)  # open words and the clues of every stream
    stream: float = Field(0.0, ge=0)  # describe one stream, or say that it is absent
    text: float = Field(0.0, ge=0)  # a row's own reason, as written; where it has none, as `reason`
    transcribe: float = Field(0.0, ge=0)  # what the voice says; where that is not known, as `label`
    stream_alone: Share = 0.0  # streams to be described of which nothing else is given
    streams: tuple[Stream, ...] = ("face", "voice", "scene", "words")  # streams asked about
    other_sets: Share = 0.4  # label sets of any few labels, in place of a corpus's own
    shuffled: Share = 0.5  # label sets in random order, in place of the alphabet's


class Dropout(Strict):
    """What an example loses in training, so that no single cue is leaned on."""

    stream: Share = 0.3  # each stream, as long as one is left
    words: Share = 0.3  # the words, in place of `stream`
    alone: Share = 0.0  # all streams but one of face, voice and words
    frames: Share = 0.2  # all frames but one, as in a still image
    # Of a face of which a label is asked, and nothing else:
    face_geometry: Share = 0.3  # the measured face geometry, leaving the expression scores
    face_scores: Share = 0.15  # the expression scores, leaving the geometry
    face_noise: float = Field(0.5, ge=0)  # deviation of noise on standardised face geometry
    # Whatever is asked:
    real_faces: Share = 0.0  # main persons given a real face's appearance and trustworthy scores
    # Most that a face's or voice's tokens are drawn to another one's in the same micro-batch.
    mixing: Share = 0.0


class Schedule(Strict):
    """Optimisation; AdamW with linear warm-up and cosine decay."""

    # "published" is LAVIS's cosine; "published_in_epoch" repeats its warm-up's slip (`rate`)
    shape: Literal["cosine", "published", "published_in_epoch"] = "cosine"
    min_learning_rate: float = Field(0.0, ge=0)  # where a published shape ends
    warmup_learning_rate: float = Field(0.0, ge=0)  # where a published shape begins
    epoch_steps: int = Field(1000, ge=1)  # steps of an epoch, for published_in_epoch
    decay_all: bool = True  # else vectors (biases, norms) are not decayed
    beta2: float = Field(0.98, gt=0, lt=1)  # AdamW's second one; the first is 0.9
    steps: int = Field(ge=1)  # optimiser steps
    batch_size: int = Field(8, ge=1)  # examples a step
    micro_batch: int | None = Field(None, ge=1)  # examples at once; null takes the whole batch
    learning_rate: float = Field(gt=0)  # of projectors and fusion
    language_model_learning_rate: float | None = Field(None, gt=0)  # null: the same
    weight_decay: float = Field(0.01, ge=0)
    warmup: Share = 0.05  # share of the steps
    gradient_clip: float | None = Field(1.0, gt=0)  # largest global norm; null: none
    validate_every: int = Field(50, ge=1)  # steps
    validation_examples: int = Field(128, ge=1)
    calibration_examples: int = Field(100, ge=0)  # readings that temperatures are fitted on
    checkpoint_every: int = Field(50, ge=1)  # steps
    gradient_checkpointing: bool = False
    # Of the frozen language model: float32 leaves it as its checkpoint holds it; bfloat16 is faster
    # only where the processor multiplies it. What trains is always float32.
    precision: Literal["float32", "bfloat16"] = "float32"


class Recipe(Strict):
    """One stage of training."""

    stage: str  # name shown and recorded
    model: str  # preset or checkpoint folder that supplies the frozen parts
    features: str | None = None  # preset of the same towers whose cached features are read
    start: str | None = None  # trained parts of the stage before; null starts from the preset's new
    keep_start: Share = 0.0  # share that `start` has in what trains, averaged with it in the end
    output: str  # folder for checkpoints, curve and result
    trains: tuple[PartName, ...] = Field(min_length=1)  # everything else is frozen
    fusion: Literal["video_concat", "frame_concat", "cross_attention"] | None = None  # null: preset
    objective: Literal["answer", "embedding"] = "answer"  # what the loss is taken on
    lora: Lora | None = None  # left out: adapters that are there train on; null: there are none
    streams: tuple[Stream, ...] = ("face", "voice", "scene", "words")  # what examples are given
    corpora: dict[str, Corpus]
    task_pool: tuple[PublishedTask, ...] = ()  # Emotion-LLaMA's tasks, each as likely
    # That [emotion] names: these; the model's own; or a row's corpus's own.
    labels: tuple[str, ...] | Literal["corpora"] = ()
    tasks: Tasks = Field(default_factory=lambda: Tasks.model_validate({}))
    dropout: Dropout = Field(default_factory=lambda: Dropout.model_validate({}))
    schedule: Schedule
    seed: int = 0
    device: str = "cpu"  # or cuda
    open_choices: tuple[str, ...] = ()  # fields that the paper leaves open, as a reminder

    @field_validator("start", "output")
    @classmethod
    def _expanded(cls, path: str | None) -> str | None:
        """A leading ~ is the user's home, as in `model` and `folder`."""
        return str(Path(path).expanduser()) if path and path.startswith("~") else path


def _known_keys(model: type[BaseModel]) -> set[str]:
    keys = set(model.model_fields)
    for section in (Lora, Corpus, Tasks, Dropout, Schedule):
        keys |= set(section.model_fields)
    return keys


def _override(values: dict[str, Any], assignment: str) -> None:
    key, sign, text = assignment.partition("=")
    if not sign:
        raise ConfigError(f"override {assignment!r} must look like schedule.steps=100")
    *path, last = key.split(".")
    section = values
    for name in path:
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            raise ConfigError(f"override {assignment!r}: {name} is no section")
    try:
        section[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"override {assignment!r}: the value is not YAML ({told})") from error


def unread(recipe: Recipe) -> str | None:
    """What a recipe sets that nothing reads beside its other choices; None where all is read.

    Only what was written down counts, even where it says the default.
    """
    if recipe.task_pool and "tasks" in recipe.model_fields_set:
        return "tasks is not read beside task_pool, which is Emotion-LLaMA's; leave one of them out"
    if recipe.labels and not recipe.task_pool:
        return (
            f"labels is {_told(recipe.labels)}, but is read beside task_pool alone, which is "
            "Emotion-LLaMA's; leave it out, or give a task_pool"
        )
    for name, corpus in recipe.corpora.items():
        # A list may stay beside `features`, which an override puts in the place of `merr`.
        if corpus.list_file is not None and corpus.kind not in ("merr", "features"):
            return (
                f"corpora.{name}.list_file is {corpus.list_file}, but only kind merr has a list, "
                f"not {corpus.kind}; leave it out, or set kind to merr"
            )
    if recipe.schedule.shape == "cosine":
        for field in PUBLISHED_FIELDS:
            if field in recipe.schedule.model_fields_set:
                return (
                    f"schedule.{field} is {getattr(recipe.schedule, field)}, but shape cosine does "
                    "not read it; leave it out, or set schedule.shape to published"
                )
    if recipe.keep_start and recipe.start is None:
        return (
            f"keep_start is {recipe.keep_start:g}, but there is no start to average with; leave it "
            "out, or set start"
        )
    if "language_model" not in recipe.trains:
        rate = recipe.schedule.language_model_learning_rate
        for field, value in (
            ("lora", recipe.lora),
            ("schedule.language_model_learning_rate", rate),
        ):
            if value is not None:
                return (
                    f"{field} is set, but only read where the language model trains; leave it "
                    "out, or add language_model to trains"
                )
    return None


def _told(labels: tuple[str, ...] | str) -> str:
    return labels if isinstance(labels, str) else f"[{', '.join(labels)}]"


def load_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe; `overrides` are like `schedule.steps=100` and win over the file.

    Raises:
        ConfigError: an unreadable file, an unknown key (the nearest known one is named), a value
            out of range, a field that nothing would read.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such recipe; those of openaffect are in the folder recipes of the clone"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as a recipe ({error})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of keys to values")
    for assignment in overrides:
        _override(values, assignment)
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            name = str(first["loc"][-1])
            near = difflib.get_close_matches(name, _known_keys(Recipe), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"{path}: unknown key {where}{hint}") from error
        seen = f", got {first['input']!r}" if first["type"] != "missing" else ""
        raise ConfigError(f"{path}: {where}: {first['msg']}{seen}") from error
    told = unread(recipe)
    if told is not None:
        raise ConfigError(f"{path}: {told}")
    return recipe
