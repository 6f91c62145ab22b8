"""Triton's generate extension: a text in, a text out. Only backends speak it."""
