-- Key check and limit for nginx-lua-full.conf. One EVALSHA of the gateway's bucket script for
-- each request, over a cosocket from nginx's pool.

local policies = {}

local consumers = {["<<key>>"] = "bench"}
local bucket = {limit = "<<bucket_limit>>", full = "<<bucket_full>>", need = "<<bucket_need>>", tick = "<<bucket_tick>>"}
local token = tonumber("<<bucket_token>>")

local function command(words)
    local parts = {"*", #words, "\r\n"}
    for _, word in ipairs(words) do
        parts[#parts + 1] = "$" .. #word .. "\r\n" .. word .. "\r\n"
    end
    return parts
end

local function spend(consumer)
    local socket = ngx.socket.tcp()
    socket:settimeouts(100, 100, 100)
    local _, failure = socket:connect("127.0.0.1", <<redis_port>>)
    if failure then
        return nil, failure
    end
    socket:send(command({
        "EVALSHA", "<<bucket_sha>>", "1", "nginx-lua:" .. consumer,
        "", "<<bucket_tolerance>>", "1", bucket.limit, bucket.full, bucket.need, bucket.tick, "1",
    }))
    local head, broken = socket:receive("*l")
    if not head or head:sub(1, 1) ~= "*" then
        socket:close()
        return nil, broken or head
    end
    local numbers = {}
    for index = 1, tonumber(head:sub(2)) do
        numbers[index] = tonumber(socket:receive("*l"):sub(2))
    end
    socket:setkeepalive(60000, 256)
    return numbers[2]
end

function policies.check()
    local consumer = consumers[ngx.var.http_x_api_key or ""]
    if not consumer then
        return ngx.exit(401)
    end
    ngx.var.consumer = consumer
    local level, failure = spend(consumer)
    if not level then
        ngx.log(ngx.CRIT, "no limit: ", failure)
        return ngx.exit(503)
    end
    local need = tonumber(bucket.need)
    ngx.header["RateLimit-Limit"] = bucket.limit
    ngx.header["RateLimit-Remaining"] = math.floor(math.max(0, level - need) / token)
    if level < need then
        return ngx.exit(429)
    end
end

return policies
