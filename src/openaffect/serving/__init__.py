"""The HTTP service: OpenAI-compatible chat, analysis, jobs and the web page."""
