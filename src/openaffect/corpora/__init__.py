"""Manifest rows, readers of published corpora, and the synthetic corpus."""
