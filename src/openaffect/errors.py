"""Errors that a user is meant to read: one line each, shown as it is, without a traceback.

A message says what was wrong, the value seen, and what to do about it.
"""


class OpenAffectError(Exception):
    """Any failure that openaffect expects; its text is shown to the user as it is."""

    exit_code = 1


class UsageError(OpenAffectError):
    """The command or the call was wrong: an unknown option, a missing path, a bad value."""

    exit_code = 2


class MediaError(OpenAffectError):
    """A media file cannot be used: damaged, refused, over a limit, or with nothing to analyse."""


class WeightsError(OpenAffectError):
    """Model weights are missing, damaged, or not the ones that were asked for."""


class ConfigError(UsageError):
    """A recipe, preset or model configuration has a wrong value or an unknown key."""


def install(what: str, packages: str, extra: str) -> str:
    """The text of an error about optional packages that are missing: what needs them, and how."""
    return f"{what} needs {packages}: pip install -e '.[{extra}]' in the clone"
