"""A free answer to a question about a clip."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What a model says to a question of the user's own."""

    text: str
    cut: bool  # whether it would have gone on, and the most tokens were reached
