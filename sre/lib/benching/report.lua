-- Loaded by wrk: what to send (METHOD, or the signed PUTs of the file PUTS), and the
-- result as one line of JSON on standard output.
local file = os.getenv("PUTS")
local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(arguments)
  wrk.method = os.getenv("METHOD") or "GET"
  if file then
    -- Each thread takes every n-th line, so that no key is put twice.
    puts = {}
    local count = tonumber(os.getenv("THREADS"))
    local line_number = 0
    for line in io.lines(file) do
      if line_number % count == number then table.insert(puts, line) end
      line_number = line_number + 1
    end
    date = os.getenv("DATE")
    next_put = 0
    request = function()
      next_put = next_put + 1
      local line = puts[next_put]
      if not line then
        wrk.thread:stop()
        line = puts[#puts]
      end
      local path, authorization = line:match("([^\t]+)\t(.+)")
      return wrk.format("PUT", path, {
        ["Authorization"] = authorization,
        ["x-amz-date"] = date,
        ["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD",
      }, "4321")
    end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"errors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
