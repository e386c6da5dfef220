"""Pipelines: KFP's compiled file read as plain values, and the runner that walks it."""
