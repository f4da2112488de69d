"""KV blocks between devices: over handles that another process opens, over NCCL, or by way of page-locked memory."""
