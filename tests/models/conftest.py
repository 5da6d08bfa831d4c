"""Lies here so that pytest puts this folder, with its reference models, on the import path."""
