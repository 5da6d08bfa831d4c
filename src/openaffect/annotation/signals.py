"""Names and forms of a sample's signals.

A signal is a JSON value. Times are seconds on the clip's own clock. Courses are short: one value a
sampled frame for a face, twenty a second for a voice.
"""

FACES = "faces"
"""{"frames": n, "width": px, "height": px, "tracks": [{"track": 0, "main": true, "speaking": 0..1,
"times": [s, ...], "boxes": [[x0, y0, x1, y1], ...]}, ...]}; boxes as shares of the picture, the
main track first. Absent without a face; `missing` then says why."""

ACTION_UNITS = "action_units"
"""{"extractor": name, "times": [s, ...], "courses": {"AU12": [0..1, ...], ...},
"apex": {"AU12": 0..1, ...}, "present": ["AU12", ...]}: of the main face."""

EMOTION_RULES = "emotion_rules"
"""{"happy": 0..1, ...}: mean strength of the units of each label whose rule the peak frame meets,
strongest first."""

PEAK = "peak"
"""{"time": s, "frame": index among the face's frames, "action_units": {"AU12": 0..1, ...}}."""

PROSODY = "prosody"
"""{"pitch_median": ..., ...}: `media.voice.VOICE_STATISTICS` by name."""

PITCH = "pitch"
"""{"times": [s, ...], "hertz": [Hz or null, ...], "level": [dB, ...]}."""

PERCEIVED = "perceived"
"""{"whole": {"happy": p, ...}, "face": {...}, "voice": {...}, "words": {...}}: probabilities by the
built-in model from all streams and from each alone; only streams that the clip has."""

MISSING = "missing"
"""{"face": reason, "voice": reason, "words": reason}: only streams that the clip lacks."""
