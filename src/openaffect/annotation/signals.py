"""Names and forms of a sample's signals.

A signal is a JSON value. Times are seconds on the clip's own clock. Courses are short: one value a
sampled frame for a face, twenty a second for a voice.
"""

from __future__ import annotations

from openaffect.annotation.sample import Sample

FACES = "faces"
"""{"frames": looked at, "clip_frames": of the file, "width": px, "height": px, "tracks": [{"track":
0, "main": true, "speaking": 0..1, "times": [s, ...], "boxes": [[x0, y0, x1, y1], ...]}, ...]}:
boxes as shares of the picture, the main track first. Without a face {"missing": reason}."""

ACTION_UNITS = "action_units"
"""{"extractor": name, "times": [s, ...], "courses": {"AU12": [0..1, ...], ...},
"apex": {"AU12": 0..1, ...}, "present": ["AU12", ...]}: of the main face; absent without one.
OpenFace's also has "seen": {"AU12": [0 or 1, ...], ...}, its own presence in each frame."""

PEAK = "peak"
"""{"time": s, "index": place among the courses' times, "action_units": {"AU12": 0..1, ...}}: the
moment of most facial action and the units seen in it."""

EMOTION_RULES = "emotion_rules"
"""{"happy": 0..1, ...}: mean strength of the units of each label whose rule the peak meets, the
best first."""

VOICE = "voice"
"""{"speech": [[start, end], ...], "seconds": s}. Without speech {"missing": reason}."""

PITCH = "pitch"
"""{"times": [s, ...], "hertz": [Hz or null, ...], "level": [dB, ...]}; absent without speech."""

PROSODY = "prosody"
"""{"pitch_median": ..., ...}: `media.voice.VOICE_STATISTICS` by name; absent without speech."""

PERCEIVED = "perceived"
"""{"whole": {"happy": p, ...}, "face": {...}, "voice": {...}, "words": {...}}: probabilities by the
built-in model from all streams and from each alone; only streams that the clip has."""

READINGS = "readings"
"""{"face": {"happy": p, ...}, "voice": {...}}: probabilities by `annotation.readings`, from what
was measured of each alone."""

SELF_REVIEW = "self_review"
"""{"label": {"score": 0..1 or null, "findings": [{"check", "name", "value", "told"}, ...]},
"text": {...}, "judge": {...}}: see `annotation.self_review`."""

GIVEN_WORDS = "given_words"
"""true where the step `open_labels` left alone the words that came with the clip; else absent."""

FINGERPRINT = "fingerprint"
"""{"seconds": s, "pictures": 48 hexadecimal digits, "sound": 16}: alike in copies of a clip. A
sound of up to 0.64 s has none."""


def missing(sample: Sample) -> dict[str, str]:
    """Why the clip has no `face` and no `voice`; only those that it lacks."""
    found = {}
    for stream, name in (("face", FACES), ("voice", VOICE)):
        reason = sample.signals.get(name, {}).get("missing")
        if reason:
            found[stream] = str(reason)
    return found


def peak_frame(sample: Sample) -> int | None:
    """The frame of the clip, from 0, that the peak is in; None without a peak or a frame rate."""
    peak = sample.signals.get(PEAK)
    frames = sample.signals.get(FACES, {}).get("clip_frames")
    seconds = sample.signals.get(FINGERPRINT, {}).get("seconds")
    if not (peak and frames and seconds):
        return None
    return min(round(peak["time"] * frames / seconds), frames - 1)
