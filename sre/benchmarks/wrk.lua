-- Loaded by wrk: sends requests of METHOD; prints the result as one line of JSON.
wrk.method = os.getenv("METHOD")

-- As many clients as connections, behind a proxy: one alone may not use all permits.
if wrk.method == "POST" then
  local clients, sent = tonumber(os.getenv("CLIENTS")), 0
  function request()
    sent = sent + 1
    return wrk.format(nil, nil, {["X-Forwarded-For"] = "192.0.2." .. sent % clients})
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"most":%d,"errors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.max,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
