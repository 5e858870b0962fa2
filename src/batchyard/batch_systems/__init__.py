"""Batch systems of a site, such as Slurm and PBS, as three commands: how a pilot is submitted, listed and cancelled."""
