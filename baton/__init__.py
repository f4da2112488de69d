"""What a user touches: the client and the commands."""
