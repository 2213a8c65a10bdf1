"""What an architecture costs, and which keep the limits.

`config` has a field for each limit, `measure` the costs of an architecture, with `latency` from a
table; `feasibility` finds whether anything keeps the limits, `descent` goes down to what does,
`sampling` draws such, `start_with` reads a user's own, `hand_made` chooses among a space's designs.
"""
