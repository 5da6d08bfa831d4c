"""Dataset construction: samples, the steps that annotate them, the runner, formats and review."""
