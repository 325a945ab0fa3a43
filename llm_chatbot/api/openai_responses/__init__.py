"""OpenAI's Responses, without a state: https://platform.openai.com/docs/api-reference/responses."""
