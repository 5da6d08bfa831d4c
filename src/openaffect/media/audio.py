"""Sound of a clip as 16 kHz mono float32, placed by its timestamps."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from openaffect.media.door import seconds

SAMPLE_RATE = 16_000  # Hz, of all sound that is read; what Whisper was trained on
GAP = 0.1  # seconds between stated and expected time above which the sound is placed anew
WARM_UP = 0.5  # seconds decoded before the wanted start, for codecs that need a run-up
# Swresample mixes floats with a gain above 1 (two equal channels come out 3 dB louder) unless told.
DOWNMIX = {"rematrix_maxval": "1"}
SILENCE = 2.0**-15  # one step of 16-bit sound; a track that never exceeds it is digitally silent
SAMPLE_RATES = range(1000, 768_001)  # Hz; others come from damaged headers
MAX_CHANNELS = 64
SILENT = "the audio track is digitally silent"
CANCELLED = (
    "the audio track is silent once its channels are mixed, though one of them is not; "
    "export the channel with the voice as mono"
)


@dataclass
class AudioReader:
    """Decodes packets of one stream as they come; `sound` then gives the wanted part."""

    stream: Any  # the PyAV stream
    origin: float  # seconds, the container time that counts as 0
    start: float  # seconds, first wanted moment
    end: float  # seconds, end of the wanted part; may be infinite
    packets: int = 0  # packets seen in the wanted part
    outside: int = 0  # packets before or after the wanted part, not decoded
    damaged: int = 0  # packets that the decoder refused
    lost: float = -math.inf  # latest second whose sound was lost in mixing the channels
    last_time: float = 0.0  # seconds, end of the latest decoded sound
    runs: list[tuple[float, list[np.ndarray]]] = field(default_factory=list)  # (time, samples)
    _resampler: Any = None
    _shape: tuple[Any, ...] = ()

    def feed(self, packet: Any) -> None:
        """Decodes one packet; an empty one ends the stream."""
        import av

        if packet is not None and packet.size:
            at = seconds(packet.pts, packet.time_base)
            length = seconds(packet.duration, packet.time_base) or 0.0
            if at is not None:
                at -= self.origin
                if at + length < self.start - WARM_UP or at >= self.end:
                    self.outside += 1
                    return
            self.packets += 1
        try:
            frames = self.stream.codec_context.decode(packet)
        except (av.FFmpegError, ValueError):
            self.damaged += 1
            return
        for frame in frames:
            try:
                self._add(frame)
            except (av.FFmpegError, ValueError):
                self.damaged += 1
                self._resampler = None

    def finish(self) -> None:
        """Takes what decoder and resampler still hold."""
        self.feed(None)
        self._flush()

    def take(self) -> list[tuple[float, np.ndarray]]:
        """The sound decoded since the last call, as (second, samples (S,)); it is let go here."""
        taken = []
        for time, chunks in self.runs:
            samples = np.concatenate(chunks)
            if len(samples):
                taken.append((time, samples))
        if self.runs:
            time, chunks = self.runs[-1]
            heard = sum(len(chunk) for chunk in chunks)
            self.runs = [(time + heard / SAMPLE_RATE, [np.zeros(0, np.float32)])]
        return taken

    def silent(self, since: float) -> str:
        """Why there is nothing to hear in the sound decoded from a second on."""
        return CANCELLED if self.lost >= since else SILENT

    def broken(self) -> str | None:
        """Why the track cannot be trusted; None while at most half of it was refused."""
        if self.damaged <= self.packets / 2:
            return None
        return (
            f"the audio track is damaged ({self.damaged} of {self.packets} packets cannot be "
            "decoded)"
        )

    def sound(self, end: float) -> tuple[np.ndarray | None, str | None, tuple[str, ...]]:
        """Samples (S,) float32 of [start, end), or None and the reason; and warnings."""
        if (broken := self.broken()) is not None:
            return None, broken, ()
        length = max(round((end - self.start) * SAMPLE_RATE), 0)
        pieces = []
        for time, chunks in self.runs:
            samples = np.concatenate(chunks)
            at = round((time - self.start) * SAMPLE_RATE)
            samples = samples[max(-at, 0) :]
            at = max(at, 0)
            samples = samples[: max(length - at, 0)]
            if len(samples):
                pieces.append((at, samples))
        if not pieces:
            if self.runs or self.outside:
                return None, "the audio track has no sound in this part of the file", ()
            return None, "the audio track holds no sound", ()
        whole = np.zeros(max(at + len(samples) for at, samples in pieces), np.float32)
        for at, samples in pieces:
            whole[at : at + len(samples)] = samples
        whole = np.clip(np.nan_to_num(whole, copy=False), -1.0, 1.0, out=whole)
        if np.abs(whole).max() <= SILENCE:
            return None, self.silent(self.start), ()
        warnings: tuple[str, ...] = ()
        if self.damaged:
            warnings = (f"{self.damaged} of {self.packets} audio packets are damaged",)
        return whole, None, warnings

    def _add(self, frame: Any) -> None:
        from av.audio.resampler import AudioResampler

        channels = len(frame.layout.channels)
        if frame.sample_rate not in SAMPLE_RATES or not 0 < channels <= MAX_CHANNELS:
            raise ValueError("impossible sample rate or channel count")
        at = seconds(frame.pts, frame.time_base)
        at = self.last_time if at is None else at - self.origin
        shape = (frame.sample_rate, channels, frame.format.name)
        if self._resampler is None or shape != self._shape or abs(at - self.last_time) > GAP:
            self._flush()
            self._resampler = AudioResampler(
                format="fltp", layout="mono", rate=SAMPLE_RATE, options=DOWNMIX
            )
            self._shape = shape
            self.runs.append((at, [np.zeros(0, np.float32)]))
            self.last_time = at
        self.last_time += frame.samples / frame.sample_rate
        frame.pts = None  # the resampler would else move samples to follow jitter
        for piece in self._resampler.resample(frame):
            mixed = piece.to_ndarray()[0]
            if channels > 1 and len(mixed) and np.abs(mixed).max() <= SILENCE:
                self.lost = self.last_time if _loud(frame.to_ndarray()) else self.lost
            self.runs[-1][1].append(mixed)

    def _flush(self) -> None:
        import av

        resampler, self._resampler = self._resampler, None
        if resampler is None:
            return
        try:
            for piece in resampler.resample(None):
                self.runs[-1][1].append(piece.to_ndarray()[0])
        except (av.FFmpegError, ValueError):
            self.damaged += 1


def _loud(samples: np.ndarray) -> bool:
    """Whether decoded samples of any format hold more than dither of one step around silence."""
    if samples.dtype.kind == "f":
        return bool(np.abs(samples).max() > SILENCE)
    return int(samples.max()) - int(samples.min()) > 2
