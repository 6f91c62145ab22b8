-- wrk's request: `-- BODY_FILE KEY`. The last line it prints is one JSON object.
function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  file:close()
  wrk.headers["Authorization"] = "Bearer " .. arguments[2]
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Accept"] = "application/json"
  wrk.headers["User-Agent"] = "OpenAI/Python 3.54.0"
end

function done(summary, latency)
  local errors = summary.errors
  local bad = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '\n{"requests":%d,"bad":%d,"seconds":%.6f,"received_bytes":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, bad, summary.duration / 1e6, summary.bytes, latency:percentile(50), latency:percentile(99)))
end
