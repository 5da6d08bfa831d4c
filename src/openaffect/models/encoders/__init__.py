"""The encoders that transformers lacks; importing this package registers them with its Auto classes."""

from openaffect.models.encoders import facexformer as facexformer
