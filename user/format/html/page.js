// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Shows what user/format/html.c wrote. Names are a hostile target's: they become text nodes and
// attributes' values, never HTML.
(() => {
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const differs = "base" in data;
const FRAME = 0, ROOT = 1, CUT = 2, SMALLER = 3;
const SIZE = 0, COUNT = 1, OLD = 2; // places in a node's or a row's values
const CELL = 20; // pixels
const state = {
	metric: "size",
	side: "larger",
	direction: "icicle",
	order: "callers",
	group: "lineno",
};

const find = (id) => document.getElementById(id);

function make(tag, text, name) {
	const made = document.createElement(tag);
	if (text !== undefined)
		made.textContent = text;
	if (name)
		made.className = name;
	return made;
}

// ---- words ------------------------------------------------------------------------------------

// As tracemalloc writes sizes.
function bytes(value, signed) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let unit = 0;
	while (unit < 4 && !(Math.abs(value) < 100 && unit > 0) && Math.abs(value) >= 10240) {
		value /= 1024;
		unit++;
	}
	const digits = Math.abs(value) < 100 && unit > 0 ? 1 : 0;
	return `${signed && value >= 0 ? "+" : ""}${value.toFixed(digits)} ${units[unit]}`;
}

function number(value, signed) {
	return `${signed && value >= 0 ? "+" : ""}${value.toLocaleString("en")}`;
}

function percent(part, whole) {
	return whole ? `${(100 * part / whole).toFixed(1)} %` : "-";
}

function plural(count, word) {
	return `${number(count)} ${word}${count === 1 ? "" : "s"}`;
}

const measure = (value, signed) =>
	state.metric === "size" ? bytes(value, signed) : `${number(value, signed)} blocks`;

// ---- frames -----------------------------------------------------------------------------------

// Where a file belongs, for its colour.
function origin(file) {
	if (/[\\/](site|dist)-packages[\\/]/.test(file))
		return "library";
	return /[\\/]lib(64)?[\\/]python\d|^</.test(file) ? "standard" : "own";
}

function spread(text) {
	let hash = 0;
	for (const letter of text)
		hash = (hash * 31 + letter.codePointAt(0)) % 65521;
	return hash / 65521;
}

const frames = data.frames.map(([file, name, line]) => {
	const frame = { file: data.strings[file], name: data.strings[name], line };
	const place = `${frame.file}:${line}`;
	const short = `${frame.file.replace(/^.*[\\/](?=.)/, "")}:${line}`;
	frame.text = frame.name ? `${frame.name} (${place})` : place;
	frame.label = frame.name ? `${frame.name} (${short})` : short;
	if (frame.file === "<unknown>" && line === 0)
		frame.text = frame.label = "<unknown>";
	frame.origin = origin(frame.file);
	frame.shade = spread(frame.file);
	return frame;
});

// ---- the tree ---------------------------------------------------------------------------------

function weigh(values) {
	const metric = state.metric === "size" ? SIZE : COUNT;
	if (!differs || state.side === "new")
		return values[metric];
	if (state.side === "old")
		return values[OLD + metric];
	return Math.max(values[metric], values[OLD + metric]);
}

function node([kind, , detail, ...values]) {
	const frame = kind === FRAME ? frames[detail] : null;
	let text = frame?.text;
	if (kind === ROOT)
		text = "all";
	else if (kind === CUT)
		text = "(older frames, not kept)";
	else if (!frame)
		text = `(${number(detail)} smaller)`;
	return {
		name: frame ? frame.label : text,
		text,
		frame,
		kind,
		sums: values,
		value: weigh(values),
		children: [],
	};
}

// Nodes come after their parents, so that sums are whole once they are added to the parent's.
function tree() {
	const source = data[state.order].nodes;
	const nodes = source.map(node);
	for (let i = nodes.length - 1; i > 0; i--) {
		const parent = nodes[source[i][1]];
		parent.value += nodes[i].value;
		parent.sums = parent.sums.map((sum, at) => sum + nodes[i].sums[at]);
		if (nodes[i].value > 0)
			parent.children.push(nodes[i]);
	}
	return nodes[0];
}

// ---- colours ----------------------------------------------------------------------------------

const dark = () => find("theme").dataset.now === "dark";
const rgb = (colour) => `rgb(${colour.map(Math.round).join(",")})`;
const mix = (from, to, share) => rgb(from.map((part, i) => part + (to[i] - part) * share));
const neutral = () => dark() ? [128, 134, 143] : [226, 229, 233];
const RED = [240, 92, 84], BLUE = [100, 148, 250], FOUND = "rgb(226,110,250)";
const HUES = { own: [22, 26], library: [140, 30], standard: [203, 22] };

function change(sums) {
	const metric = state.metric === "size" ? SIZE : COUNT;
	return sums[metric] - sums[OLD + metric];
}

function changeColour(sums) {
	const metric = state.metric === "size" ? SIZE : COUNT;
	const share = change(sums) / (Math.max(sums[metric], sums[OLD + metric]) || 1);
	return mix(neutral(), share > 0 ? RED : BLUE, Math.sqrt(Math.abs(share)));
}

function originColour(from, shade) {
	const [hue, width] = HUES[from];
	return `hsl(${Math.round(hue + width * shade)} ${dark() ? 52 : 78}% ${dark() ? 60 : 70}%)`;
}

function colour(d) {
	const { frame, sums } = d.data;
	if (d.highlight)
		return FOUND;
	if (differs)
		return changeColour(sums);
	return frame ? originColour(frame.origin, frame.shade) : rgb(neutral());
}

function showLegend() {
	const swatches = differs ? [
		["grew", rgb(RED)],
		["shrank", rgb(BLUE)],
		["as before", rgb(neutral())],
	] : [
		["the program", originColour("own", 0.5)],
		["installed packages", originColour("library", 0.5)],
		["standard library", originColour("standard", 0.5)],
	];
	find("legend").replaceChildren(...swatches.flatMap(([word, fill]) => {
		const swatch = make("i");
		swatch.style.background = fill;
		return [swatch, word];
	}));
	if (differs)
		find("legend").append(
			" (the stronger, the larger the share of the frame that changed)");
}

// ---- the flame graph --------------------------------------------------------------------------

let chart, root;

function describe(d) {
	const { text, sums } = d.data;
	const words = `${text}\n${bytes(sums[SIZE])} in ${plural(sums[COUNT], "block")}, ` +
		percent(d.data.value, root.value);
	if (!differs)
		return words;
	return `${words}; before ${bytes(sums[OLD])} in ${plural(sums[OLD + COUNT], "block")}: ` +
		`${bytes(sums[SIZE] - sums[OLD], true)}, ` +
		`${number(sums[COUNT] - sums[OLD + COUNT], true)} blocks`;
}

function showFound(results) {
	const outermost = results.filter((d) =>
		!d.ancestors().slice(1).some((above) => above.highlight));
	const sum = outermost.reduce((total, d) => total + d.data.value, 0);
	find("found").textContent = `${plural(results.length, "frame")} found: ${measure(sum)}, ` +
		percent(sum, root.value);
}

function search() {
	const term = find("search").value.trim().toLowerCase();
	if (term)
		return chart.search(term);
	chart.clear();
	find("found").textContent = "";
}

function showFolded() {
	const { smaller, deeper } = data[state.order];
	const words = ["Frames narrower than a pixel are not drawn: zoom in to see them."];
	if (smaller)
		words.push("The snapshot has more frames than this page keeps; " +
			`${plural(smaller, "subtree")} of the smallest ` +
			`${smaller === 1 ? "was" : "were"} summed, beside larger neighbours, as ` +
			"“(… smaller)”.");
	if (deeper)
		words.push(`${plural(deeper, "subtree")} lay too deep and ` +
			`${deeper === 1 ? "was" : "were"} summed in the same way.`);
	find("folded").textContent = words.join(" ");
}

function compareNodes(a, b) {
	return (a.data.kind === SMALLER) - (b.data.kind === SMALLER) || b.data.value - a.data.value;
}

function matches(d, term) {
	return d.data.kind !== ROOT && d.data.text.toLowerCase().includes(term);
}

function draw() {
	const place = find("flame");
	const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
	chart?.destroy();
	root = tree();
	place.className = state.direction;
	chart = flamegraph.default()
		.width(place.clientWidth)
		.cellHeight(CELL)
		.minFrameSize(1)
		.resetHeightOnZoom(true)
		.transitionDuration(still ? 0 : 200)
		.inverted(state.direction === "icicle")
		.sort(compareNodes)
		.setColorMapper(colour)
		.setLabelHandler(describe)
		.setDetailsHandler((text) => { find("detail").textContent = text ?? ""; })
		.setSearchMatch(matches)
		.setSearchHandler(showFound)
		.onClick((d) => { find("reset").disabled = !d.parent; });
	d3.select(place).datum(root).call(chart);
	find("reset").disabled = true;
	showLegend();
	showFolded();
	search();
}

// ---- the table --------------------------------------------------------------------------------

const PLACES = {
	lineno: ["Line", (frame) => `${frame.file}:${frame.line}`, (frame) => frame.name,
		(frame) => frame.text],
	function: ["Function", (frame) => frame.name || frame.text,
		(frame) => frame.name && frame.file,
		(frame) => frame.name ? `${frame.name} (${frame.file}:` : frame.text],
	filename: ["File", (frame) => frame.file, () => "", (frame) => `${frame.file}:`],
};
let sorted = { column: differs ? "Change" : "Size", descending: true, given: true };

function placeCell(row) {
	const [, text, more, term] = PLACES[state.group];
	const frame = frames[row.frame];
	const cell = make("td"), button = make("button", text(frame));
	button.type = "button";
	button.title = "Search it in the flame graph";
	button.addEventListener("click", () => {
		find("search").value = row.several ? text(frame) : term(frame);
		search();
		find("search").scrollIntoView({ block: "nearest" });
	});
	cell.append(button);
	if (!row.several && more(frame))
		cell.append(make("small", more(frame)));
	return cell;
}

function changeCell(value, text) {
	return make("td", text, value > 0 ? "grew" : value < 0 ? "shrank" : "");
}

function shareCell(row) {
	const size = row.values[SIZE], whole = data.snapshot.size;
	const cell = make("td", percent(size, whole), "share");
	cell.style.setProperty("--share", whole ? 100 * size / whole : 0);
	return cell;
}

// What a column is called, what it is sorted by, and its cell.
function columns() {
	const average = ({ values }) => values[COUNT] ? values[SIZE] / values[COUNT] : 0;
	const grown = ({ values }, what) => values[what] - values[OLD + what];
	const list = [
		[PLACES[state.group][0], (row) => PLACES[state.group][1](frames[row.frame]),
			placeCell],
		["Size", (row) => row.values[SIZE], (row) => make("td", bytes(row.values[SIZE]))],
		["Share", (row) => row.values[SIZE], shareCell],
		["Blocks", (row) => row.values[COUNT],
			(row) => make("td", number(row.values[COUNT]))],
		["Average", average, (row) => make("td", bytes(average(row)))],
	];
	if (differs)
		list.splice(1, 0,
			["Change", (row) => grown(row, SIZE),
				(row) => changeCell(grown(row, SIZE),
					bytes(grown(row, SIZE), true))],
			["Blocks' change", (row) => grown(row, COUNT), (row) =>
				changeCell(grown(row, COUNT), number(grown(row, COUNT), true))],
			["Before", (row) => row.values[OLD],
				(row) => make("td", bytes(row.values[OLD]))]);
	return list;
}

function compare(a, b) {
	return typeof a === "string" ? (a < b ? -1 : a > b ? 1 : 0) : a - b;
}

function headerCell([title], at) {
	const cell = make("th"), button = make("button", title);
	cell.scope = "col";
	button.type = "button";
	if (sorted.column === title)
		cell.setAttribute("aria-sort", sorted.descending ? "descending" : "ascending");
	button.addEventListener("click", () => {
		// Names begin at a, numbers with the largest; a second click turns it round.
		const again = sorted.column === title && !sorted.given;
		sorted = {
			column: title,
			descending: again ? !sorted.descending : at > 0,
			given: false,
		};
		showTable();
	});
	cell.append(button);
	return cell;
}

function leftOutText(count, rest) {
	const now = `${bytes(rest[SIZE])} in ${plural(rest[COUNT], "block")}`;
	const before = differs ?
		`, before ${bytes(rest[OLD])} in ${plural(rest[OLD + COUNT], "block")}` : "";
	return `${plural(count, "more row")} not shown here: ${now}${before}.`;
}

function showTable() {
	const list = columns();
	const { rows, left_out: leftOut, rest } = data.tables[state.group];
	const shown = rows.map(([frame, several, ...values]) => ({ frame, several, values }));
	const column = list.find(([title]) => title === sorted.column);
	const sign = sorted.descending ? -1 : 1;
	// At first the order is tracemalloc's: the largest, or the largest change either way.
	if (!sorted.given)
		shown.sort((a, b) => sign * compare(column[1](a), column[1](b)));

	const header = make("tr");
	header.append(...list.map(headerCell));
	find("table").tHead.replaceChildren(header);
	find("table").tBodies[0].replaceChildren(...shown.map((row) => {
		const line = make("tr");
		line.append(...list.map(([, , cell]) => cell(row)));
		return line;
	}));
	find("left-out").textContent = leftOut ? leftOutText(leftOut, rest) : "";
}

// ---- the head ---------------------------------------------------------------------------------

function duration(seconds) {
	return seconds < 100 ? seconds.toFixed(1) : number(Math.round(seconds));
}

function moment(milliseconds) {
	return new Date(milliseconds).toISOString().slice(0, 19).replace("T", " ");
}

function about({ info }) {
	const seconds = info.duration_nanos / 1e9;
	return [
		info.python_version && `CPython ${info.python_version}`,
		info.pid > 0 && `pid ${info.pid}`,
		info.host && `on ${info.host}`,
		info.container && `in container ${info.container.slice(0, 12)}`,
		info.mode,
		info.traceback_limit > 0 && `up to ${plural(info.traceback_limit, "frame")}`,
		seconds > 0 && `traced for ${duration(seconds)} s`,
		info.time_nanos > 0 && `until ${moment(info.time_nanos / 1e6)} UTC`,
	].filter(Boolean).join(" · ");
}

function addTile(title, value, small, name) {
	const tile = make("div"), figure = make("dd", value, name);
	if (small)
		figure.append(make("small", small));
	tile.append(make("dt", title), figure);
	find("tiles").append(tile);
}

function showTiles() {
	const { info, size, count } = data.snapshot;
	const losses = [["before: ", data.base?.info], ["", info]].flatMap(([when, of]) =>
		(of?.losses ?? []).filter((loss) => loss.count > 0)
			.map((loss) => `${when}${loss.text}: ${number(loss.count)}`));
	addTile("Held", bytes(size), `in ${plural(count, "block")}`);
	if (differs) {
		const grown = size - data.base.size;
		addTile("Before", bytes(data.base.size), `in ${plural(data.base.count, "block")}`);
		const share = data.base.size ?
			`, ${grown < 0 ? "" : "+"}${percent(grown, data.base.size)}` : "";
		addTile("Change", bytes(grown, true),
			`${number(count - data.base.count, true)} blocks${share}`,
			grown > 0 ? "grew" : grown < 0 ? "shrank" : "");
	}
	if (info.current > 0 && info.current !== size)
		addTile("Current", bytes(info.current), "of the process, before filters");
	if (info.peak > 0)
		addTile("Peak", bytes(info.peak), "since tracing began");
	if (info.rss > 0)
		addTile("RSS", bytes(info.rss), "of the process");
	// A snapshot that the program dumped itself says nothing of this.
	if (info.mode || info.coverage !== null)
		addTile("Coverage",
			info.coverage === null ? "not known" : percent(info.coverage, 1),
			[info.coverage_basis, losses.length ? "" : "nothing lost"]
				.filter(Boolean).join("; "));
	find("losses").replaceChildren(...losses.map((text) => make("li", text)));
	find("losses").hidden = losses.length === 0;
}

function showHead() {
	const { info } = data.snapshot;
	const title = info.command_line || info.executable ||
		(info.pid > 0 ? `process ${info.pid}` : "a snapshot");
	find("command").textContent = title;
	document.title = `${title} - tmbpf`;
	find("about").textContent = about(data.snapshot);
	find("version").textContent = `tmbpf ${data.version}`;
	if (differs) {
		const old = data.base.info;
		const same = !old.command_line || old.command_line === info.command_line;
		find("about-base").textContent = ["compared with",
			same ? "an older snapshot:" : old.command_line, about(data.base)].join(" ");
		find("about-base").hidden = false;
	}
	showTiles();
}

// ---- what the reader does ---------------------------------------------------------------------

function choice(key, options, changed) {
	find(key).append(...Object.entries(options).map(([value, text]) => {
		const label = make("label", text), input = make("input");
		Object.assign(input,
			{ type: "radio", name: key, value, checked: state[key] === value });
		input.addEventListener("change", () => {
			state[key] = value;
			changed();
		});
		label.prepend(input);
		return label;
	}));
}

function setTheme(theme) {
	document.documentElement.dataset.theme = find("theme").dataset.now = theme;
	find("theme").textContent = theme === "dark" ? "Light" : "Dark";
}

// Waits until the reader pauses.
function later(action) {
	let timer;
	return () => {
		clearTimeout(timer);
		timer = setTimeout(action, 120);
	};
}

choice("metric", { size: "Bytes", count: "Blocks" }, draw);
choice("side", { larger: "Larger of both", new: "Now", old: "Before" }, draw);
choice("direction", { icicle: "Icicle", flame: "Flame" }, draw);
choice("order", { callers: "Callers first", leaves: "Inverted" }, draw);
choice("group", { lineno: "Line", function: "Function", filename: "File" }, () => {
	if (!columns().some(([title]) => title === sorted.column))
		sorted = { column: columns()[0][0], descending: false, given: false };
	showTable();
});
find("side").hidden = !differs;
find("reset").addEventListener("click", () => chart.resetZoom());
find("search").addEventListener("input", later(search));
find("theme").addEventListener("click", () => {
	setTheme(dark() ? "light" : "dark");
	draw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
	setTheme(event.matches ? "dark" : "light");
	draw();
});
window.addEventListener("resize", later(() => chart.width(find("flame").clientWidth).update()));
document.addEventListener("keydown", (event) => {
	if (event.key === "/" && document.activeElement !== find("search")) {
		event.preventDefault();
		find("search").focus();
	} else if (event.key === "Escape") {
		find("search").value = "";
		search();
		chart.resetZoom();
	}
});

setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
showHead();
showTable();
draw();
})();
