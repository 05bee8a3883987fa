"""OpenAI Responses: requests and answers made of items."""
