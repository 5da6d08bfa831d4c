"""Tasks, label sets and wording: the one prompt builder of training, evaluation and serving."""
