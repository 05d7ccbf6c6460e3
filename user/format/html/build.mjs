// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Puts the page together: page.html with page.css, the libraries and page.js inside, their licences
// at its end, and a policy under which a browser runs and applies these alone. Called by build.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const [here, folder] = process.argv.slice(2);
const read = (path) => readFileSync(path, "utf8").trim();

const lock = JSON.parse(read(`${here}/package-lock.json`)).packages;
const names = Object.keys(lock).filter(Boolean);
const order = ["dispatch", "ease", "format", "array", "hierarchy", "color", "interpolate", "time",
	"time-format", "timer", "scale", "selection", "transition",
].map((name) => `d3-${name}/dist/d3-${name}.min.js`);
order.push("d3-flame-graph/dist/d3-flamegraph.umd.min.js");

const bundle = order.map((file) => read(`${folder}/node_modules/${file}`)).join("\n");
const script = `${bundle}\n${read(`${here}/page.js`)}\n`;
const style = `\n${read(`${here}/page.css`)}\n`;
// The flame graph adds a style of its own, as text in its code.
const added = /\.textContent=`([^`\\]*)`/.exec(read(`${folder}/node_modules/${order.at(-1)}`));
if (!added)
	throw new Error("the flame graph's own style is not where it was");
if (/<\/(script|style)|<!--/i.test(script + style))
	throw new Error("a script or a style would end its element");

const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
const policy = [
	"default-src 'none'",
	`script-src ${hash(script)}`,
	`style-src ${hash(style)} ${hash(added[1])}`,
	"img-src data:",
	"base-uri 'none'",
	"form-action 'none'",
].join("; ");

const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const licences = names.map((name) => {
	const title = `${name.replace("node_modules/", "")} ${lock[name].version}`;
	return escape(`${title}\n\n${read(`${folder}/${name}/LICENSE`)}\n`);
});

const parts = { policy, style, script, licences: licences.join(`\n${"-".repeat(80)}\n\n`) };
const page = read(`${here}/page.html`)
	.replace(/@(policy|style|script|licences)@/g, (_, name) => parts[name]);
const [head, tail] = page.split("@data@");
writeFileSync(`${folder}/head.html.new`, head);
writeFileSync(`${folder}/tail.html.new`, `${tail}\n`);
