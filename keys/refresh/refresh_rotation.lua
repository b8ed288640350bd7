-- Judges a presented refresh token and puts its successor in its place: keys/refresh/rotation.py
-- in one atomic step.
-- KEYS[1]  the family, a hash
-- ARGV     generation, digest, successor ('' keeps the token), salt, grace, lifetime,
--          now ('' asks Redis); times in milliseconds
-- Answers  {outcome, salt, time of the rotation}
local now = tonumber(ARGV[7])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local family = redis.call('HMGET', KEYS[1],
  'generation', 'digest', 'previous', 'salt', 'rotated_at', 'revoked')
if not family[1] then return {'unknown', '', 0} end
if family[6] == '1' then return {'revoked', '', 0} end

local current, generation = tonumber(family[1]), tonumber(ARGV[1])

if generation == current and ARGV[2] == family[2] then
  if ARGV[3] == '' then return {'valid', '', 0} end
  redis.call('HSET', KEYS[1], 'generation', current + 1, 'digest', ARGV[3],
    'previous', family[2], 'salt', ARGV[4], 'rotated_at', string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  return {'rotated', ARGV[4], now}
end
if generation >= current then return {'unknown', '', 0} end

if generation == current - 1 and ARGV[2] == family[3]
    and math.abs(now - tonumber(family[5])) < tonumber(ARGV[5]) then
  return {'repeated', family[4], tonumber(family[5])}
end
redis.call('HSET', KEYS[1], 'revoked', '1')
return {'reused', '', 0}
