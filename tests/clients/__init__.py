"""Clients and agents of callers, as others wrote them, through a running gateway to places of other languages."""
