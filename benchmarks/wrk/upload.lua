-- Posts a body of as many bytes as the first argument says.
function init(arguments)
    wrk.method = "POST"
    wrk.body = string.rep("x", tonumber(arguments[1]))
    wrk.headers["Content-Type"] = "application/octet-stream"
    request_bytes = wrk.format()
end

function request()
    return request_bytes
end
