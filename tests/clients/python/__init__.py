"""Python clients: a file for each, which talks as its client's users do. They run in environments of their own."""
