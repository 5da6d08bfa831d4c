"""Encoders that transformers does not have; importing this registers them with the Auto classes."""

from openaffect.models.encoders import facexformer  # noqa: F401
