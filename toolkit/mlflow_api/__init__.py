"""MLflow's functions over runs of the toolkit; :mod:`toolkit.fluent` gathers them."""
