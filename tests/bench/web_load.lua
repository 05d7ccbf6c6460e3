-- SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
-- For wrk: asks web_app.py for one page after the other, the same each time, and prints one line of JSON at
-- the end, all latencies in it: [microseconds, how many requests].
local number = 0

request = function()
	number = number + 1
	local customer = number * 7 % 200 + 1
	local paths = {"/orders/" .. customer, "/api/" .. customer, "/find?text=article%20" .. customer}

	return wrk.format("GET", paths[number % 3 + 1])
end

done = function(summary, latency)
	local errors = summary.errors
	local counts = {}

	for i = 1, #latency do
		local value, count = latency(i)
		counts[i] = string.format("[%d, %d]", value, count)
	end

	io.write(string.format(
		'{"requests": %d, "seconds": %.6f, "latency": [%s], "errors": %d}\n',
		summary.requests, summary.duration / 1e6, table.concat(counts, ", "), errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
