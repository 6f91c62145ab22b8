"""Hugging Face's text-generation-inference, its own protocol: a text in, tokens out. Only backends speak it."""
