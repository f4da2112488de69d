"""Transports between devices, over devices that are this process's own memory."""
