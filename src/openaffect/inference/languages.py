"""Languages that the speech recogniser knows."""

from openaffect.errors import UsageError

_CODES = (
    "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he "
    "hi hr ht hu hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne "
    "nl nn no oc pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk "
    "ur uz vi yi yo zh"
)
LANGUAGES = tuple(_CODES.split())
"""Codes of Whisper's languages: ISO 639-1 where there is one (Javanese is jw)."""


def check_language(code: str | None) -> None:
    """Raise UsageError for a code of none of the languages; None stands for any."""
    if code is not None and code not in LANGUAGES:
        raise UsageError(
            f"the speech recogniser knows no language {code!r}; it knows {', '.join(LANGUAGES)}"
        )
