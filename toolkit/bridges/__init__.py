"""Bridges: training libraries and `logging` that record in runs of toolkit.

Each is a module of its own and needs its library; importing it is what loads that.
"""
