"""Texts from outside made fit for a terminal, a page, or an XML document."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPACE = re.compile(r"\s+")


def clean(text: str) -> str:
    """Text in which control codes, which could steer a terminal, are made visible."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(text: str) -> str:
    """The text on one line, without characters that XML cannot hold."""
    return _SPACE.sub(" ", _NOT_XML.sub(" ", text)).strip()
