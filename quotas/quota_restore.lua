-- Raises what was used of a calendar quota to what the records say; never lowers it.
--
-- KEYS[1] the quota's counter, "<used> <start of the period>" as in token_bucket.lua.
-- ARGV    used, start of the period, when to forget it (milliseconds from now).

local used, at = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
local wanted, start = tonumber(ARGV[1]), tonumber(ARGV[2])
if not used or tonumber(at) < start or (tonumber(at) == start and tonumber(used) < wanted) then
    redis.call('SET', KEYS[1], string.format('%.0f %.0f', wanted, start), 'PX', ARGV[3])
end
return 0
