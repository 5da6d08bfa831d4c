"""Training in stages: a recipe says which parts train, on which tasks, from which corpora."""
