"""What a decode worker computes next. Pure: commands, results and `now` in; plans and events out.

    Reserve     -> waiting for room -> reserved -> Join -> running   (or Quarantine, until Drop)
    SubmitLocal -> waiting for room -> running: the common part, then its choices

Room is given first come, first served; whoever waits holds no blocks, and a Reserve that waits is what slows prefill
down. Decode rows go into every step, chunks of prompts into what its token budget leaves. When blocks run out, the
sequence with the least progress gives its own back and waits again: its tokens are kept and never sent twice.
"""
