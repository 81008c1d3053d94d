"""Runs as TensorBoard event files."""
