"""The desk that steps work at: the clip in hand, read once, and models, loaded once.

A clip is decoded one time for all steps; its frames, faces and sound are let go with it.
"""
