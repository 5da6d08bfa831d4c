"""The only door to media files: pictures with true times, 16 kHz sound, and what models need."""
