"""Targets, loss, decoding and scores bound together, where several recipes need the same."""
