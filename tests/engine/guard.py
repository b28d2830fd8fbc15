"""Stands in front of a script and asks before every command whether its key is among KEYS."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from server.engine.call import Call
from server.engine.script import Script, Source

_GUARD = """
local unguarded, declared = redis, {}
for _, name in ipairs(KEYS) do declared[name] = true end
local of_one_key = {}
for name in string.gmatch('EXISTS HDEL HEXISTS HGET HGETALL HINCRBY HMGET HSET HSETNX HVALS PERSIST XADD XRANGE '
  .. 'XREVRANGE ZADD ZCARD ZCOUNT ZRANGE ZRANGEBYSCORE ZRANK ZREM ZREMRANGEBYSCORE ZSCORE', '%S+') do
  of_one_key[name] = true
end
local redis = { call = function(command, name, ...)
  if command == 'TIME' then return unguarded.call(command) end
  if not of_one_key[command] then error('a command that the guard does not know: ' .. command) end
  if not declared[name] then error('an undeclared key: ' .. tostring(name)) end
  return unguarded.call(command, name, ...)
end }
"""


def guarded(call: Call[Any]) -> Call[Any]:
    return replace(call, script=_guarded(call.script))


@cache
def _guarded(script: Script) -> Script:
    first, rest = script.flagged.text.split("\n", 1)
    return replace(script, flagged=Source.of(first + _GUARD + rest), plain=Source.of(_GUARD + rest))
