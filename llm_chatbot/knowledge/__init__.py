"""Knowledge: files that are larger than the context, found passage by passage.

In the order of the data: `readers` turns a file into text, in a process of its own (`reading`); `splitting` cuts the
text into passages; `index` keeps texts, words and vectors in one SQLite file; `collection` keeps the index as its files
are; `search` finds the passages for a question; `prompt` puts them before it.
"""
