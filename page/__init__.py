"""The chat page: what is on it, what happens when somebody uses it, and how it is served.

It sits on top of the engine and is the one place for Gradio. Nothing below it knows that there is a page.
"""

import config as config  # first of all: it keeps the libraries from reporting usage
