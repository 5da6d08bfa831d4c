"""Rendered heads that speak with a synthesised voice: clips whose ground truth is known."""
