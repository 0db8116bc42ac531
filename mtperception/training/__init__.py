"""Training: from data sets with uneven annotations to a checkpoint that `export` turns into a model."""
