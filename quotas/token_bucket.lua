-- Spends from token buckets: quotas/bucket.py word for word, for many requests in one call.
--
-- All numbers are integers held in doubles. They stay exact because no product passes 2^53:
-- limit, capacity and cost are below 2^31, a token has at most 2^22 units (see bucket.py), and
-- microseconds since 1970 are below 2^51. They are written with %.0f, as Lua's own conversion
-- keeps only 14 digits.
--
-- KEYS  the bucket of every rule of every request, in order. A value is "<level> <at>"; of a
--       quota of the calendar day or month "<used> <start of the period>".
-- ARGV  now in microseconds ("" for the time of Redis; tests hand a time in),
--       the largest step back of the clock that is waited for, in microseconds,
--       then for each request: its number of rules,
--       and for each of its rules: limit, full, need, tick, enforced (1 or 0). A tick of -1 is a
--       quota of the day, of -2 one of the month. A need below 0 gives back what was taken.
-- Reply now, then for each rule the refilled level and its time, before anything was spent:
--       the decision follows from them alone and is made by the caller with the same arithmetic.

local now = tonumber(ARGV[1])
if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local tolerance = tonumber(ARGV[2])

local DAY = 86400000000

-- quotas/calendar.py word for word.
local function period_start(time, tick)
    local day = math.floor(time / DAY)
    if tick == -1 then
        return day * DAY
    end
    local of_era = (day + 719468) % 146097
    local leaps = math.floor(of_era / 1460) - math.floor(of_era / 36524) + math.floor(of_era / 146096)
    local year = math.floor((of_era - leaps) / 365)
    local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
    local month = math.floor((5 * of_year + 2) / 153)
    return (day - (of_year - math.floor((153 * month + 2) / 5))) * DAY
end

local function left(used, at, rule)
    local start = period_start(now, rule.tick)
    if not used or tonumber(at) < start then
        return rule.full, start
    end
    at = tonumber(at)
    return rule.full - tonumber(used), at - now <= tolerance and at or start
end

local function refill(value, rule)
    local level, at = string.match(value or '', '^(%d+) (%d+)$')
    if rule.tick < 0 then
        return left(level, at, rule)
    end
    if not level then
        return rule.full, now
    end
    level, at = math.min(tonumber(level), rule.full), tonumber(at)
    if now < at then
        if at - now > tolerance then
            return level, now
        end
        return level, at
    end
    local ticks = math.floor((now - at) / rule.tick)
    if ticks >= math.ceil((rule.full - level) / rule.limit) then
        return rule.full, at + ticks * rule.tick
    end
    return level + ticks * rule.limit, at + ticks * rule.tick
end

local function full_at(rule, level)
    if rule.tick == -1 then
        return rule.at + DAY
    elseif rule.tick == -2 then
        return period_start(rule.at + 32 * DAY, rule.tick)
    end
    return rule.at + math.ceil((rule.full - level) / rule.limit) * rule.tick
end

local function store(rule, level)
    level = math.min(level, rule.full)
    local full_in = math.max(0, full_at(rule, level) - now)
    if rule.tick < 0 then
        level = rule.full - level
    end
    local forget_in = math.ceil((full_in + tolerance) / 1000)
    redis.call('SET', rule.key, string.format('%.0f %.0f', level, rule.at),
        'PX', string.format('%.0f', forget_in))
end

local reply = {now}
local argument = 2
local position = 0

local function read_rule()
    position = position + 1
    local rule = {
        key = KEYS[position],
        limit = tonumber(ARGV[argument + 1]),
        full = tonumber(ARGV[argument + 2]),
        need = tonumber(ARGV[argument + 3]),
        tick = tonumber(ARGV[argument + 4]),
        enforced = ARGV[argument + 5] == '1',
    }
    argument = argument + 5
    local value = redis.call('GET', rule.key)
    rule.level, rule.at = refill(value, rule)
    rule.stepped_back = value and rule.at < tonumber(string.match(value, ' (%d+)$') or '0')
    return rule
end

while argument < #ARGV do
    argument = argument + 1
    local count = tonumber(ARGV[argument])
    local rules, allowed = {}, true
    for index = 1, count do
        local rule = read_rule()
        rules[index] = rule
        if rule.enforced and rule.level < rule.need then
            allowed = false
        end
        reply[#reply + 1] = rule.level
        reply[#reply + 1] = rule.at
    end
    for _, rule in ipairs(rules) do
        if allowed and rule.level >= rule.need then
            store(rule, rule.level - rule.need)
        elseif rule.stepped_back then
            store(rule, rule.level)
        end
    end
end

return reply
