"""A model as a service: OpenAI's HTTP API in front of the engine, by itself (`llm-chatbot serve`) or beside the page.

A request goes `routes` → `calls` → the engine; `requests` says what can be asked for, `responses` how it is answered.
The folders are other protocols: their requests become `requests.ChatRequest`, and they write the answers in their way.
"""
