"""What a queue is: its layout in Redis, one Lua file per transition, and the values that every floor above speaks in.

README.md beside this file draws the states, the keys and what always holds.
"""
