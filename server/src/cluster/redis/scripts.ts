/**
 * What must happen at once in Redis. Each script has one declared key and so runs on one slot. Leases are measured by the
 * clock of Redis, the only one that all nodes share. ioredis sends the digest and falls back to the text.
 */

/** [resource, id, value, milliseconds to live] -> the value that was replaced, if it was another session's. */
const claim = `
local old = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if old and cjson.decode(old)[2] ~= ARGV[2] then return old end
return false`;

/** [resource, id, value, milliseconds to live] -> 1 when the session was still there. */
const update = `
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old or cjson.decode(old)[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1`;

/** [resource, id, value, milliseconds to live, living members...] -> the value of a living other session that stays. */
const announce = `
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old then
  local held = cjson.decode(old)
  if held[2] ~= ARGV[2] then
    for i = 5, #ARGV do
      if held[1] == ARGV[i] then return old end
    end
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return false`;

/** [resource, id] -> 1 when it was there. */
const release = `
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old or cjson.decode(old)[2] ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])`;

/** [resource, id, member] -> the value removed. A session that a new life of its node has announced again stays. */
const bury = `
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old then return false end
local held = cjson.decode(old)
if held[2] ~= ARGV[2] or held[1] ~= ARGV[3] then return false end
redis.call('HDEL', KEYS[1], ARGV[1])
return old`;

const now = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** [member, milliseconds, node id] -> [state, now, leases]. Former lives of the same node id are ended. */
const join = `${now}
local prefix = ARGV[3] .. '#'
local leases = redis.call('HGETALL', KEYS[1])
for i = 1, #leases, 2 do
  if string.sub(leases[i], 1, #prefix) == prefix and leases[i] ~= ARGV[1] then
    local lease = cjson.decode(leases[i + 1])
    redis.call('HSET', KEYS[1], leases[i], cjson.encode({0, lease[2], lease[3], lease[4]}))
  end
end
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode({now + ARGV[2], 0, '', 0}))
return {'kept', now, redis.call('HGETALL', KEYS[1])}`;

/**
 * [member, milliseconds, sessions] -> [state, now, leases]. A lapsed lease that no survivor has begun to sweep is simply
 * renewed, so that a Redis outage longer than the lease does not make every node bury every other.
 */
const renew = `${now}
local old = redis.call('HGET', KEYS[1], ARGV[1])
local state = 'kept'
if not old then
  state = 'lost'
else
  local lease = cjson.decode(old)
  if lease[1] == 0 or lease[3] ~= '' then state = 'dead' end
end
if state == 'kept' then
  redis.call('HSET', KEYS[1], ARGV[1], cjson.encode({now + ARGV[2], tonumber(ARGV[3]), '', 0}))
end
return {state, now, redis.call('HGETALL', KEYS[1])}`;

/** [member, "keep" or "forget"]: gives the lease up; kept when sessions are left for a survivor to sweep. */
const leave = `
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old then return 0 end
if ARGV[2] == 'forget' then return redis.call('HDEL', KEYS[1], ARGV[1]) end
local lease = cjson.decode(old)
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode({0, lease[2], lease[3], lease[4]}))
return 1`;

/** [dead member, sweeper, milliseconds] -> 1 for the one elected to sweep; asking again keeps the office. */
const condemn = `${now}
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old then return 0 end
local lease = cjson.decode(old)
if lease[3] == '' and lease[1] > now then return 0 end
if lease[3] ~= '' and lease[3] ~= ARGV[2] and lease[4] > now then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode({lease[1], lease[2], ARGV[2], now + ARGV[3]}))
return 1`;

/** [dead member, sweeper]: the sweep is done. */
const forget = `
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old or cjson.decode(old)[3] ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])`;

export const SCRIPTS = { claim, update, announce, release, bury, join, renew, leave, condemn, forget };
