"""Addresses for servers in processes of their own: no port they are promised is taken by somebody else meanwhile."""

import os
import socket


def loopback() -> str:
    """An address of this machine that no other process of this user listens on."""
    number = os.getpid() % 65000 + 256
    return f"127.77.{number >> 8}.{number & 255}"


def free_address() -> str:
    """With a port there that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind((loopback(), 0))
        return f"{taken.getsockname()[0]}:{taken.getsockname()[1]}"
