"""Prompts in, KV blocks lent out."""
