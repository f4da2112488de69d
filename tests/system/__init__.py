"""The whole system: real gRPC, real models."""
