-- SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
-- For wrk: asks web_app.py for one page after the other, the same each time, and prints one line of JSON at the end.
local number = 0

request = function()
	number = number + 1
	local customer = number * 7 % 200 + 1
	local paths = {"/orders/" .. customer, "/api/" .. customer, "/find?text=article%20" .. customer}

	return wrk.format("GET", paths[number % 3 + 1])
end

done = function(summary, latency)
	local errors = summary.errors

	io.write(string.format(
		'{"requests": %d, "seconds": %.6f, "p50": %.1f, "p90": %.1f, "p99": %.1f, "max": %.1f, "mean": %.1f, "errors": %d}\n',
		summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(90), latency:percentile(99),
		latency.max, latency.mean, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
