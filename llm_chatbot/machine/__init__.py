"""This machine: its memory and caches, progress that it shows, and libraries' telemetry, which stays off."""
