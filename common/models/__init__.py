"""One dense decoder for the Llama, Mistral and Qwen families, read from a Hugging Face folder."""
