"""The steps that annotate a sample, each a small named unit with declared inputs and outputs."""
