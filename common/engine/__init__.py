"""plan -> run -> commit: what turns attempts into tokens inside one worker."""
