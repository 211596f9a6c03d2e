-- wrk's requests for serving.py. Arguments: file of JSON-escaped texts, what comes before and after a text in the body, mode, number of the run.
-- distinct: the texts in turn. repeats: every second request is one of 100, the others were never sent before. hits: one of 100.
local POPULAR = 100
local texts, before, after, mode, salt = {}, "", "", "", 0
local sent, prepared = 0, {}

local function made(text)
  return wrk.format("POST", nil, nil, before .. text .. after)
end

function init(args)
  before, after, mode, salt = args[2], args[3], args[4], tonumber(args[5])
  for line in io.lines(args[1]) do texts[#texts + 1] = line end
end

function request()
  sent = sent + 1
  if mode == "repeats" and sent % 2 == 1 then
    local turn = math.floor(sent / 2)
    return made(texts[turn % #texts + 1] .. " " .. salt * 100 + math.floor(turn / #texts))
  end
  local place = mode == "distinct" and sent % #texts + 1 or math.floor(sent / 2) % POPULAR + 1
  if not prepared[place] then prepared[place] = made(texts[place]) end
  return prepared[place]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'HEADGATE {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "lost": %d, "timed_out": %d, "status": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect, errors.read + errors.write, errors.timeout, errors.status))
end
