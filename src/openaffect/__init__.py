"""Perceived emotion in video clips, from faces, voice, scene and words, with the clues that led there."""

__version__ = "0.1.0"
