"""The Analysis of a clip and the forms it can be written in."""
