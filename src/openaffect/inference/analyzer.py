"""The Analyzer: a clip in, an Analysis out, from every stream that the clip has."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from openaffect import DEFAULT_MODEL
from openaffect.errors import UsageError
from openaffect.inference import reporting
from openaffect.inference.answers import (
    MAX_OPEN_WORDS,
    Conversation,
    Reason,
    conversation,
    without_absent,
)
from openaffect.inference.encoded_clip import EncodedClip, encode_clip
from openaffect.inference.engine import Stream
from openaffect.inference.feature_cache import FeatureCache
from openaffect.inference.inputs import LEFT_OUT, ClipInputs, clip_inputs, read_inputs
from openaffect.inference.open_words import likely_labels, tell_likely
from openaffect.inference.options import LONG_CLIP, AnalyzeOptions, given_words, is_long
from openaffect.inference.transcription import Transcriber, Transcript
from openaffect.media.clip import NO_SPEECH, Clip
from openaffect.media.digest import file_sha256
from openaffect.media.face_detection import FaceDetector
from openaffect.media.voice_activity import has_speech
from openaffect.models.checkpoints.load import load_checkpoint
from openaffect.models.clip_processing import ClipProcessor
from openaffect.models.device import checked_device
from openaffect.models.generation import MediaGeneration
from openaffect.models.omni_emotion.configuration import check_fusion
from openaffect.models.preset import SETTINGS_FILE, SMALL_PRESETS, check_model, load_preset
from openaffect.models.small import assemble_trained
from openaffect.models.store import part_directory
from openaffect.models.trained_parts import TEMPERATURE, TEMPERATURE_ALONE, read_settings
from openaffect.prompts.conversation import STREAMS, Given
from openaffect.prompts.dialogues import dialogue_of
from openaffect.results.analysis import Analysis, Segment

if TYPE_CHECKING:
    from transformers import BatchFeature

SMALL_PARTS = ("text", "speech", "frame", "expression")


@dataclass(frozen=True)
class Reading:
    """One clip as it was read: media, words, and what of it the model is given."""

    inputs: ClipInputs
    transcript: Transcript | None  # recognised words
    given: Given
    voice_reason: str | None  # why there is no voice
    words_reason: str | None  # why there are no words


class Analyzer:
    """A loaded model with its face detector and its speech recogniser.

    Use `Analyzer.load`; one Analyzer serves many clips, one after another.
    """

    def __init__(
        self,
        model: MediaGeneration,
        processor: ClipProcessor,
        detector: FaceDetector,
        transcriber: Callable[[], Transcriber],
        name: str,
        parts: dict[str, str],
        temperature: float = 1.0,
        temperature_alone: float | None = None,
    ) -> None:
        self.model = model
        self.processor = processor
        self.dialogue = dialogue_of(processor)
        self.detector = detector
        self.name = name
        self.parts = parts
        self.temperature = temperature
        self.temperature_alone = temperature if temperature_alone is None else temperature_alone
        self.cache: FeatureCache | None = None  # of the clips that are scored or analysed
        self._make_transcriber = transcriber
        self._transcriber: Transcriber | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What an answer depends on besides openaffect's version, the clip and the question."""
        configuration = reporting.configuration_identity(self.model, self.processor)
        return {
            "parts": dict(self.parts),
            "configuration": configuration,
            "temperature": self.temperature,
            "temperature_alone": self.temperature_alone,
        }

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_MODEL,
        *,
        device: str = "cpu",
        fusion: str | None = None,
        tower_parts: dict[str, Path] | None = None,
    ) -> "Analyzer":
        """Load a preset, a folder of trained parts for the small preset, or a checkpoint folder.

        Missing base weights are pulled. `tower_parts` takes the place of the preset's folders.

        Raises:
            WeightsError: weights are missing or not the ones they should be.
            UsageError: there is no such preset or folder, device or fusion.
        """
        target = checked_device(device)
        check_fusion(fusion)
        check_model(str(model))
        folder = Path(model)
        if str(model) in SMALL_PRESETS or (folder / SETTINGS_FILE).is_file():
            trained = load_preset(str(model)).trained if str(model) in SMALL_PRESETS else folder
            parts = tower_parts or {n: part_directory(DEFAULT_MODEL, n) for n in SMALL_PARTS}
            settings = read_settings(trained)
            network, processor = assemble_trained(settings, parts, trained, fusion)
            temperature = float(settings.get(TEMPERATURE, 1.0))
            temperature_alone = settings.get(TEMPERATURE_ALONE)
            identities = reporting.part_identities(DEFAULT_MODEL, trained)
        else:
            network, processor = load_checkpoint(folder)
            temperature = float(network.config.label_temperature)
            temperature_alone = network.config.label_temperature_alone
            own = getattr(network.config, "fusion", "no choice of fusion")
            if fusion not in (None, own):
                raise UsageError(f"--fusion {fusion}: this checkpoint was trained for {own}")
            identities = reporting.folder_identity(folder)
        landmarks = part_directory(DEFAULT_MODEL, "landmarks")
        return cls(
            network.eval().to(target),
            processor,
            FaceDetector(landmarks / "face_landmarker.task"),
            lambda: Transcriber(part_directory(DEFAULT_MODEL, "speech"), target),
            str(model),
            identities,
            temperature,
            temperature_alone,
        )

    def read(self, path: Path, options: AnalyzeOptions) -> Reading:
        """Read a clip and settle which streams the model is given.

        Raises:
            MediaError: the file cannot be used, or gives none of the streams asked for.
        """
        inputs = read_inputs(
            Path(path),
            self.detector if "face" in options.streams else None,
            self.processor,
            frames=options.frames,
            start=options.start,
            end=options.end,
            limits=options.limits,
        )
        return self._settled(inputs, options)

    def read_short(self, path: Path, options: AnalyzeOptions) -> Reading | None:
        """As `read`; None for a clip that is to be read in segments."""
        if is_long(path, options):
            return None
        reading = self.read(path, options)
        span = reading.inputs.clip.end - reading.inputs.clip.start
        return reading if options.segments == "never" or span <= LONG_CLIP else None

    def read_segment(self, clip: Clip, options: AnalyzeOptions) -> Reading:
        """As `read`, for a segment of a long recording that was read already.

        Raises:
            MediaError: the segment gives none of the streams asked for.
        """
        detector = self.detector if "face" in options.streams else None
        return self._settled(clip_inputs(clip, detector, self.processor), options)

    def _settled(self, inputs: ClipInputs, options: AnalyzeOptions) -> Reading:
        looks = "face" in options.streams or "scene" in options.streams
        voice_reason = self._voice_reason(inputs, options)
        transcript, words, words_reason = self._words(inputs, options, voice_reason)
        given = Given(
            video=looks and "scene" in options.streams and inputs.frames is not None,
            face=bool(inputs.tracks),
            voice=voice_reason is None,
            words=words,
        )
        if not given.streams:
            reasons = {inputs.clip.frames_reason, inputs.face_reason, voice_reason, words_reason}
            told = "; ".join(sorted(reason for reason in reasons if reason))
            raise reporting.NothingGiven(inputs.clip.path, told)
        return Reading(inputs, transcript, given, voice_reason, words_reason)

    def _voice_reason(self, inputs: ClipInputs, options: AnalyzeOptions) -> str | None:
        if inputs.voice is None:
            return inputs.voice_reason
        if not has_speech(inputs.voice):
            return NO_SPEECH
        return None if "voice" in options.streams else LEFT_OUT

    def _words(
        self, inputs: ClipInputs, options: AnalyzeOptions, voice_reason: str | None
    ) -> tuple[Transcript | None, str | None, str | None]:
        """Recognised words, the words given to the model, and why there are none."""
        if "words" not in options.streams:
            return None, None, LEFT_OUT
        if options.subtitle is not None:
            words = given_words(options.subtitle)
            return None, words or None, None if words else "the subtitle is empty"
        if not options.transcribe:
            return None, None, "no subtitle was given and transcription was switched off"
        if inputs.voice is None or voice_reason == NO_SPEECH:
            return None, None, voice_reason or inputs.voice_reason
        if self._transcriber is None:
            self._transcriber = self._make_transcriber()
        transcript = self._transcriber.transcribe(inputs.voice, language=options.language)
        words = transcript.english or transcript.text
        return transcript, words or None, None if words else transcript.reason

    def converse(self, reading: Reading) -> Conversation:
        """Read the clip's shared prefix once; questions about it are then cheap."""
        clip = encode_clip(self.model, self.processor, reading.inputs, reading.given)
        return self.converse_about(clip)

    def analyze(
        self,
        path: str | Path,
        options: AnalyzeOptions | None = None,
        on_segment: Callable[[Segment], None] | None = None,
        on_reading: Callable[[Conversation], None] | None = None,
    ) -> Analysis:
        """Analyse one clip; a long one segment by segment, each told to `on_segment` when done.

        `on_reading` is given the conversation about a short clip, for further questions. Where
        there is a cache, a short clip that was analysed before, with no option but `streams` and
        `reasons`, is taken from there.

        Raises:
            MediaError: the file cannot be used.
        """
        path, options = Path(path), options or AnalyzeOptions()
        torch.manual_seed(options.seed)
        taken = self._taken(path, options)
        if taken is not None:
            clip, seen = taken
            talk = self.converse_about(clip)
            if on_reading is not None:
                on_reading(talk)
            return self._told(seen, talk, options, path)
        from openaffect.inference.long_video import analyze_long

        return analyze_long(self, path, options, on_segment)

    def _taken(self, path: Path, options: AnalyzeOptions) -> tuple[EncodedClip, Analysis] | None:
        """A short clip after its towers, and what is told of it besides; None for a long one."""
        plain = AnalyzeOptions(streams=options.streams, reasons=options.reasons)
        cache = self.cache if options == plain else None
        media = file_sha256(path) if cache is not None and path.is_file() else None
        if cache is not None and media is not None:
            known = cache.load(media, options.streams)
            told = cache.load_seen(media, options.streams)
            if known is not None and told is not None and known.given.streams:
                return known, told
        reading = self.read_short(path, options)
        if reading is None:
            return None
        clip = encode_clip(self.model, self.processor, reading.inputs, reading.given)
        seen = reporting.seen(self, reading, options, path)
        if cache is not None and media is not None:
            cache.save(media, options.streams, clip)
            cache.save_seen(media, options.streams, seen)
        return clip, seen

    def converse_without_media(self) -> Conversation:
        """A conversation in which nothing is given: the language model alone answers."""
        prompt = self.dialogue.prompt(Given(), self.dialogue.reason_question)
        inputs: BatchFeature = self.processor(
            text=prompt.shared, videos=[None], faces=[[]], audio=[None], add_special_tokens=False
        )
        stream = Stream.open(self.model, dict(inputs.to(self.model.device)))
        return conversation(stream, self.dialogue, Given())

    def temperature_of(self, given: Given) -> float:
        """The label temperature for a clip of which the model is given this."""
        return self.temperature_alone if given.lone else self.temperature

    def probabilities(self, talk: Conversation, labels: Sequence[str]) -> dict[str, float]:
        """Calibrated probability of each label, in the order of the labels."""
        return talk.label_probabilities(labels, self.temperature_of(talk.given))

    def findings(
        self, reading: Reading, talk: Conversation, options: AnalyzeOptions, path: Path
    ) -> Analysis:
        """What the model says about one reading of a clip."""
        return self._told(reporting.seen(self, reading, options, path), talk, options, path)

    def _told(
        self, seen: Analysis, talk: Conversation, options: AnalyzeOptions, path: Path
    ) -> Analysis:
        labels = tuple(options.labels or self.dialogue.labels)
        probabilities = self.probabilities(talk, labels)
        dropped: list[str] = []
        if options.reasons:
            reason, dropped = without_absent(talk.reason(), talk.given)
            words = tell_likely(reason.emotions, probabilities)[:MAX_OPEN_WORDS]
            reason = dataclasses.replace(reason, emotions=words)
        else:
            reason = Reason(likely_labels(probabilities)[:MAX_OPEN_WORDS], {}, None)
        answer = talk.answer(options.question).text if options.question else None
        return reporting.analysis(self, seen, options, probabilities, reason, answer, dropped, path)

    def encoded(self, path: Path, options: AnalyzeOptions) -> EncodedClip:
        """What the model is given of a clip, after its towers.

        Raises:
            MediaError: the file cannot be used, or gives none of the streams asked for.
        """
        reading = self.read(path, options)
        return encode_clip(self.model, self.processor, reading.inputs, reading.given)

    def kept(self, path: Path, streams: Sequence[str]) -> EncodedClip:
        """As `encoded`, from the cache where there is one and the very same file was read before.

        Raises as `encoded` does.
        """
        if self.cache is None or not path.is_file():
            return self.encoded(path, AnalyzeOptions(streams=streams))
        media = file_sha256(path)
        clip = self.cache.load(media, streams)
        if clip is None or not clip.given.streams:  # reading it anew tells why there is nothing
            clip = self.encoded(path, AnalyzeOptions(streams=streams))
            self.cache.save(media, streams, clip)
        return clip

    def converse_about(self, clip: EncodedClip) -> Conversation:
        """As `converse`, about a clip whose towers have run."""
        prompt = self.dialogue.prompt(clip.given, self.dialogue.reason_question)
        inputs = self.processor.lay_out([prompt.shared], clip.media, add_special_tokens=False)
        stream = Stream.open(self.model, dict(inputs.to(self.model.device)))
        return conversation(
            stream,
            self.dialogue,
            clip.given,
            lambda name: self.converse_about(clip.only((name,))),
        )

    def score(
        self,
        path: str | Path,
        labels: Sequence[str],
        *,
        streams: Sequence[str] = STREAMS,
        options: AnalyzeOptions | None = None,
    ) -> dict[str, float]:
        """Probability of each label, without any generated text.

        `options` take the place of `streams`; what is read with them is not kept.

        Raises:
            MediaError: the file cannot be used, or gives none of `streams`.
        """
        clip = self.encoded(Path(path), options) if options else self.kept(Path(path), streams)
        return self.probabilities(self.converse_about(clip), labels)

    def score_each(
        self,
        path: str | Path,
        labels: Sequence[str],
        stream_sets: Sequence[Sequence[str]],
    ) -> list[dict[str, float] | None]:
        """Probability of each label for every set of streams, from one reading of the clip.

        None stands for a set of which the clip has nothing.

        Raises:
            MediaError: the file cannot be used, or gives no stream of any set.
        """
        union = tuple(s for s in STREAMS if any(s in streams for streams in stream_sets))
        whole = self.kept(Path(path), union)
        answers: list[dict[str, float] | None] = []
        for streams in stream_sets:
            clip = whole.only(streams)
            talk = self.converse_about(clip) if clip.given.streams else None
            answers.append(self.probabilities(talk, labels) if talk else None)
        return answers

    def close(self) -> None:
        """Release the face detector."""
        self.detector.close()
