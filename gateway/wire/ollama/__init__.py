"""Ollama's own chat. Only backends speak it."""
