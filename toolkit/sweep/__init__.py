"""Search for hyper-parameters: W&B's sweep files, run on this machine, every trial a tracked run.

`sweepfile` reads the file, `space` says which values a parameter may have, `command` writes a
trial's command line, `search` chooses values (Optuna), `runner` runs the trials, `report` shows
them. ``python -m toolkit.sweep.trial`` and ``python -m toolkit.sweep.guard`` are processes of their
own.
"""
