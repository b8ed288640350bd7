-- Asks the requests of a file one after another, again and again. Each line: path, blank, key.
local requests, position = {}, 0

function init(arguments)
    for line in io.lines(arguments[1]) do
        local path, key = line:match("^(%S+) (%S+)$")
        requests[#requests + 1] = wrk.format("GET", path, {["X-API-Key"] = key, ["Host"] = wrk.headers["Host"]})
    end
end

function request()
    position = position % #requests + 1
    return requests[position]
end
