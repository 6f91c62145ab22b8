"""The stages of a request, one verb a file."""
