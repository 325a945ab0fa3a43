"""Readers: a file → its text, with headings as in Markdown, and where its pages, slides and sheets begin."""
