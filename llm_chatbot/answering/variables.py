"""Names of environment variables. Cheap to import."""

# The API key that this machine's programs send to a server.
KEY_VARIABLE = "LLM_CHATBOT_API_KEY"
