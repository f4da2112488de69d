"""HTTP for clients: the OpenAI dialect over the same serving as gRPC. Knows nothing of members."""
