"""Reads what models write between the marks of tool calls, also while it is being written."""
