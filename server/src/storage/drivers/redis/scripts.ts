/**
 * What is one step in Redis. Each script has one declared key, and so runs on one slot. Redis refuses a write that takes
 * memory when it is full, but not the rest of the script: so what takes memory comes first, and what frees it after.
 */

/** -> the whole hash, as a flat list: ioredis would make an object of it, where a key may be called "__proto__". */
const list = `return redis.call('HGETALL', KEYS[1])`;

/**
 * [how many keys, for each: its name, whether one is expected (1 or 0), the value expected; then for each: whether to keep
 * one (1 or 0), the value] -> nothing when it was done, else the present values, false for none.
 */
const swap = `
local count = tonumber(ARGV[1])
local names = {}
for i = 1, count do names[i] = ARGV[3 * i - 1] end
local present = {}
local same = true
for i = 1, count do
  present[i] = redis.call('HGET', KEYS[1], names[i])
  local expected = ARGV[3 * i] == '1' and ARGV[3 * i + 1]
  if present[i] ~= expected then same = false end
end
if not same then return present end
for i = 1, count do
  local at = 1 + 3 * count + 2 * i
  if ARGV[at - 1] == '1' and present[i] ~= ARGV[at] then redis.call('HSET', KEYS[1], names[i], ARGV[at]) end
end
for i = 1, count do
  if ARGV[2 * i + 3 * count] == '0' and present[i] then redis.call('HDEL', KEYS[1], names[i]) end
end
return false`;

/**
 * [limit, chance, value] -> 1 when it was put at the end, 0 when the queue is full. The id is of the form of archiveId: the
 * time in microseconds, and chance; behind the last one, whatever the clock does, and whoever made that.
 */
const push = `
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
local digits = '0123456789abcdefghijklmnopqrstuv'
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local function id()
  local text = ''
  local rest = micros
  for _ = 1, 11 do
    local digit = rest % 32
    text = string.sub(digits, digit + 1, digit + 1) .. text
    rest = (rest - digit) / 32
  end
  return text .. ARGV[2]
end
local last = redis.call('ZRANGE', KEYS[1], -1, -1)[1]
local mine = id()
if last then
  last = string.match(last, '^[^%z]*')
  if mine <= last then
    local read = 0
    if string.match(last, '^[0-9a-v]+$') and #last >= 11 then
      for i = 1, 11 do read = read * 32 + string.find(digits, string.sub(last, i, i), 1, true) - 1 end
    end
    micros = read + 1
    mine = id()
    if mine <= last then mine = last .. '1' end
  end
end
redis.call('ZADD', KEYS[1], 0, mine .. '\\0' .. ARGV[3])
return 1`;

/** [ids...] -> those that were there, and are gone. */
const pull = `
local gone = {}
for i = 1, #ARGV do
  if redis.call('ZREMRANGEBYLEX', KEYS[1], '[' .. ARGV[i] .. '\\0', '(' .. ARGV[i] .. '\\1') > 0 then gone[#gone + 1] = ARGV[i] end
end
return gone`;

/** [id, value]: puts an item in, in the place of the one of that id. */
const put = `
redis.call('ZADD', KEYS[1], 0, ARGV[1] .. '\\0' .. ARGV[2])
local there = redis.call('ZRANGE', KEYS[1], '[' .. ARGV[1] .. '\\0', '(' .. ARGV[1] .. '\\1', 'BYLEX')
for i = 1, #there do
  if there[i] ~= ARGV[1] .. '\\0' .. ARGV[2] then redis.call('ZREM', KEYS[1], there[i]) end
end
return 1`;

export const SCRIPTS = { list, swap, push, pull, put };
