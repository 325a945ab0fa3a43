"""The chat page: what it shows, how it reacts to its users, and how it is served.

It is built on the engine, and only this package and `chat_ui` use Gradio. Nothing below it knows of the page.
"""
