"""Encoded clips kept on disk, so that another question about a clip costs the language model alone.

One file for each stream of a clip, named by the sha256 of the media, in a folder named by all that
the features depend on: a changed clip, other towers or another way to read is another file. What
is kept is exact: tower features in their own precision, the words as they were recognised, and
that a stream was looked for and is not there. Of an analysed clip, what its Analysis tells besides
the model's findings (people, measured signals, why a stream is missing) is kept beside them, one
file for each set of streams. It is biometric data, see models.tower_features.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from openaffect import DEFAULT_MODEL, __version__
from openaffect.errors import UsageError
from openaffect.inference.encoded_clip import SCENE_BY_FACE, EncodedClip
from openaffect.models.clip_processing import ClipProcessor
from openaffect.models.generation import MediaGeneration
from openaffect.models.home import HOME_VARIABLE, home
from openaffect.models.preset import load_preset
from openaffect.models.store import FEATURES
from openaffect.models.tower_features import (
    measured_by,
    picture_settings,
    read_origin,
    shown_to_towers,
    towers_identity,
    write_features,
)
from openaffect.prompts.conversation import STREAMS, Given
from openaffect.results.analysis import Analysis, AnalysisError
from openaffect.results.writers.base import write_atomically

EVALUATION = "evaluation"  # folder below the features
MEDIA_KEY, SETTINGS_KEY, THERE_KEY, WORDS_KEY = "media", "settings", "there", "words"
SEEN_KEY = "seen"


def settings_identity(model: MediaGeneration, processor: ClipProcessor) -> str:
    """Hex sha256 of what encoded clips depend on besides the media.

    The towers and how they are read, how pictures are laid out, what finds faces, voices and words
    in which version, the version of openaffect, precision and kind of device. Not the fusion, the
    projectors or the language model.
    """
    told: dict[str, Any] = {
        "version": __version__,
        "towers": towers_identity(model),
        "dtypes": sorted({str(getattr(model.model, name).dtype) for name in model.model.towers}),
        "device": model.device.type,
        "measured_by": measured_by(),
        "words_by": load_preset(DEFAULT_MODEL).part("speech").identity,
    }
    told |= shown_to_towers(processor) | picture_settings(processor)
    told |= {name: getattr(processor, name) for name in ("audio_crop", "voice_signals")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


class FeatureCache:
    """Encoded clips of one model's towers.

    Args:
        model, processor: whose clips are kept.
        folder: where all such folders lie; None takes OPENAFFECT_HOME/features/evaluation.
    """

    def __init__(
        self, model: MediaGeneration, processor: ClipProcessor, folder: Path | None = None
    ) -> None:
        self.identity = settings_identity(model, processor)
        self.folder = (folder or home() / FEATURES / EVALUATION) / self.identity[:16]
        self.device = str(model.device)
        self.by_face = processor.frame_follows_face

    def load(self, media: str, streams: Sequence[str]) -> EncodedClip | None:
        """The clip whose file has the sha256 `media`; None where one of `streams` is not kept."""
        origins = {stream: self._origin(media, stream) for stream in streams}
        if not all(origins.values()):
            return None
        there = [stream for stream, origin in origins.items() if origin[THERE_KEY] == "yes"]
        given = Given(
            video="scene" in there,
            face="face" in there,
            voice="voice" in there,
            words=origins["words"][WORDS_KEY] if "words" in there else None,
        )
        if self.by_face and given.video and given.face:
            there.append(SCENE_BY_FACE)
            if not self._origin(media, SCENE_BY_FACE):
                return None
        return EncodedClip(
            given,
            {
                stream: load_file(self._path(media, stream), self.device)
                for stream in there
                if stream != "words"
            },
        )

    def save(self, media: str, streams: Sequence[str], clip: EncodedClip) -> None:
        """Keep what was found of `streams`, which are those that were looked for.

        Raises UsageError where the folder cannot be written.
        """
        for stream in (*streams, SCENE_BY_FACE):
            tensors = clip.streams.get(stream, {})
            if stream == SCENE_BY_FACE and not tensors:
                continue
            there = stream == SCENE_BY_FACE or stream in clip.given.streams
            origin = {
                MEDIA_KEY: media,
                SETTINGS_KEY: self.identity,
                THERE_KEY: "yes" if there else "no",
            }
            if stream == "words":
                origin[WORDS_KEY] = clip.given.words or ""
            kept = {name: tensor.cpu() for name, tensor in tensors.items()}
            try:
                write_features(self._path(media, stream), kept, origin)
            except (OSError, SafetensorError) as error:
                raise UsageError(
                    f"{self.folder}: features cannot be kept there ({error}); keep none with "
                    f"--no-cache, or set {HOME_VARIABLE} to a folder with room"
                ) from None

    def load_seen(self, media: str, streams: Sequence[str]) -> Analysis | None:
        """What `reporting.seen` told of the clip, asked for `streams`; None where none is kept."""
        try:
            kept = json.loads(self._seen_path(media, streams).read_bytes())
            if (kept[MEDIA_KEY], kept[SETTINGS_KEY]) != (media, self.identity):
                return None
            return Analysis.from_dict(kept[SEEN_KEY])
        except (OSError, ValueError, LookupError, TypeError, AnalysisError):
            return None  # not there, or damaged

    def save_seen(self, media: str, streams: Sequence[str], seen: Analysis) -> None:
        """Keep what is told of the clip, besides its encoded streams.

        Raises OpenAffectError where the folder cannot be written.
        """
        kept = {MEDIA_KEY: media, SETTINGS_KEY: self.identity, SEEN_KEY: seen.to_dict()}
        write_atomically(self._seen_path(media, streams), json.dumps(kept))

    def _seen_path(self, media: str, streams: Sequence[str]) -> Path:
        asked = "+".join(stream for stream in STREAMS if stream in streams)
        return self.folder / f"{media}.{asked}.json"

    def _path(self, media: str, stream: str) -> Path:
        return self.folder / f"{media}.{stream}.safetensors"

    def _origin(self, media: str, stream: str) -> dict[str, str]:
        """The file's own account of itself; empty unless it is what is looked for."""
        origin = read_origin(self._path(media, stream))
        wanted = {MEDIA_KEY: media, SETTINGS_KEY: self.identity}
        return origin if wanted.items() <= origin.items() else {}
