"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const slider = at("alpha");
  const SHOWN = 8;
  const REACH = 24; // CSS pixels: how near a finger has to come

  const percent = (x, digits = 1) => `${(100 * x).toFixed(digits)} %`;
  const usd = (x) => (x === 0 ? "0" : x < 1e-6 ? x.toExponential(1) : String(Number(x.toPrecision(3))).includes("e")
    ? x.toFixed(8).replace(/0+$/, "") : String(Number(x.toPrecision(3))));

  function make(name, attributes, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  // The utility of every candidate of one query, best first; a query that is too long for an LLM has no p for it.
  function ranked(query, alpha) {
    const found = [];
    for (let j = 0; j < data.llm.length; j++) {
      if (data.p[query][j] === null) continue;
      found.push({ j, utility: alpha * (data.p[query][j] / 10000) - ((1 - alpha) * data.cost[query][j]) / data.scale });
    }
    return found.sort((a, b) => b.utility - a.utility || a.j - b.j);
  }

  function best(query, alpha) {
    let top = -1;
    let most = -Infinity;
    for (let j = 0; j < data.llm.length; j++) {
      if (data.p[query][j] === null) continue;
      const utility = alpha * (data.p[query][j] / 10000) - ((1 - alpha) * data.cost[query][j]) / data.scale;
      if (utility > most) {
        most = utility;
        top = j;
      }
    }
    return top;
  }

  function route(alpha) {
    const choice = data.query.map((_, i) => best(i, alpha));
    const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
    const seen = data.score ? choice.map((j, i) => [i, j]).filter(([i, j]) => data.score[i][j] !== null) : [];
    return {
      choice,
      p: mean(choice.map((j, i) => data.p[i][j] / 10000)),
      cost: mean(choice.map((j, i) => data.cost[i][j])),
      seen: seen.length,
      right: seen.length ? mean(seen.map(([i, j]) => data.score[i][j])) / 100 : null,
      promised: seen.length ? mean(seen.map(([i, j]) => data.p[i][j])) / 10000 : null,
    };
  }

  function rowsOf(id, rows) {
    at(id).tBodies[0].replaceChildren(...rows);
  }

  function count(names) {
    const counts = new Map();
    for (const name of names) counts.set(name, (counts.get(name) || 0) + 1);
    return [...counts].sort((a, b) => b[1] - a[1]);
  }

  function showRoute(alpha) {
    const now = route(alpha);
    const point = data.curve[Math.round(100 * alpha)];
    at("alpha-value").textContent = alpha.toFixed(2);
    slider.setAttribute("aria-valuetext", `alpha ${alpha.toFixed(2)}`);
    let told = `Expected: ${percent(now.p)} right (${percent(data.level, 0)} of outcomes: ${percent(point.lower)} to ${percent(point.upper)})`;
    if (data.priced) told += ` at ${usd(now.cost)} USD an answer`;
    told += ".";
    if (now.seen === data.query.length) told += ` Observed: ${percent(now.right)} right.`;
    else if (now.seen) told += ` Observed: ${percent(now.right)} right on the ${now.seen} queries that the chosen LLM answered, where ${percent(now.promised)} were expected.`;
    at("summary").textContent = told;

    const size = data.query.length;
    rowsOf("shares", count(now.choice).map(([j, n]) =>
      make("tr", {}, make("th", { scope: "row" }, data.llm[j]), make("td", { class: "number" }, String(n)),
        make("td", {}, make("div", { class: "bar", style: `width:${(100 * n) / size}%` })))));
    const byTask = new Map();
    now.choice.forEach((j, i) => byTask.set(data.task[i], [...(byTask.get(data.task[i]) || []), j]));
    rowsOf("tasks", [...byTask].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([task, chosen]) => {
      const [j, n] = count(chosen)[0];
      return make("tr", {}, make("th", { scope: "row" }, task), make("td", {}, data.llm[j]),
        make("td", { class: "number" }, percent(n / chosen.length, 0)));
    }));
    if (data.priced) drawFrontier(now);
  }

  // Each LLM alone, from cheap to dear: accuracy and cost over all queries, of the LLMs that can take all of them.
  function eachAlone() {
    const mean = (f) => data.query.reduce((sum, _, i) => sum + f(i), 0) / data.query.length;
    return data.llm.map((name, j) => ({ name, j }))
      .filter(({ j }) => data.query.every((_, i) => data.p[i][j] !== null))
      .map(({ name, j }) => ({ name, cost: mean((i) => data.cost[i][j]), p: mean((i) => data.p[i][j] / 10000) }))
      .filter((one) => one.cost > 0)
      .sort((a, b) => a.cost - b.cost);
  }

  const singles = data.priced ? eachAlone() : [];
  const single = (one) => `${one.name}: ${percent(one.p)} at ${usd(one.cost)} USD`;

  function showMarked() {
    const marked = singles[at("marked").value];
    at("marked-told").textContent = marked ? single(marked) : "";
    if (data.priced) drawFrontier(route(Number(slider.value)));
  }

  function drawFrontier(now) {
    const box = at("frontier");
    const width = Math.max(280, box.clientWidth);
    const height = Math.min(380, Math.max(240, 0.55 * width));
    const [left, right, top, bottom] = [44, 10, 10, 42];
    const curve = data.curve.filter((point) => point.cost > 0);
    const costs = [...curve.map((point) => point.cost), ...singles.map((one) => one.cost)];
    const [low, high] = [Math.log10(Math.min(...costs)) - 0.05, Math.log10(Math.max(...costs)) + 0.05];
    const ys = [...curve.flatMap((point) => [point.lower, point.upper]), ...singles.map((one) => one.p)];
    const [least, most] = [Math.max(0, Math.min(...ys) - 0.02), Math.min(1, Math.max(...ys) + 0.02)];
    const x = (cost) => left + ((Math.log10(cost) - low) / (high - low)) * (width - left - right);
    const y = (p) => top + ((most - p) / (most - least)) * (height - top - bottom);

    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const put = (name, attributes, text) => {
      const node = document.createElementNS(space, name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      if (text !== undefined) node.textContent = text;
      svg.append(node);
      return node;
    };
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `Accuracy against cost: now ${percent(now.p)} at ${usd(now.cost)} USD an answer`);
    const step = most - least > 0.5 ? 0.2 : most - least > 0.2 ? 0.1 : 0.05;
    for (let k = Math.ceil(least / step); k * step <= most; k++) {
      put("line", { class: "grid", x1: left, x2: width - right, y1: y(k * step), y2: y(k * step) });
      put("text", { x: left - 6, y: y(k * step) + 4, "text-anchor": "end" }, String(Math.round(100 * k * step)));
    }
    for (let k = Math.ceil(low); k <= high; k++) {
      put("line", { class: "grid", x1: x(10 ** k), x2: x(10 ** k), y1: top, y2: height - bottom });
      put("text", { x: x(10 ** k), y: height - bottom + 16, "text-anchor": "middle" }, usd(10 ** k));
    }
    put("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom });
    put("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, "expected cost of an answer, USD");
    put("text", { x: 12, y: (top + height - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(top + height - bottom) / 2})` }, "right answers, %");
    const ordered = [...curve].sort((a, b) => a.cost - b.cost);
    const path = (points) => points.map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join(" ");
    put("polygon", { class: "band", points: path([...ordered.map((c) => [x(c.cost), y(c.upper)]), ...[...ordered].reverse().map((c) => [x(c.cost), y(c.lower)])]) });
    put("polyline", { class: "curve", points: path(ordered.map((c) => [x(c.cost), y(c.mean)])) });
    const marked = at("marked").value;
    singles.forEach((one, k) => {
      const [a, b] = [x(one.cost), y(one.p)];
      const cross = put("path", { class: marked === String(k) ? "single marked" : "single", d: `M${a - 4},${b - 4}L${a + 4},${b + 4}M${a - 4},${b + 4}L${a + 4},${b - 4}` });
      const title = document.createElementNS(space, "title");
      title.textContent = single(one);
      cross.append(title);
      if (marked === String(k)) put("circle", { class: "ring", cx: a, cy: b, r: 9 });
    });
    if (now.cost > 0) {
      const [a, b] = [x(now.cost), y(now.p)];
      put("path", { class: "now", d: `M${a},${b - 9}L${a + 9},${b}L${a},${b + 9}L${a - 9},${b}Z` });
    }
    // A finger or a mouse marks the nearest cross.
    svg.addEventListener("click", (event) => {
      const frame = svg.getBoundingClientRect();
      const scale = width / frame.width;
      const [a, b] = [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
      const away = singles.map((one) => Math.hypot(x(one.cost) - a, y(one.p) - b));
      const nearest = away.indexOf(Math.min(...away));
      at("marked").value = away[nearest] <= REACH ? String(nearest) : "";
      showMarked();
    });
    box.replaceChildren(svg);
  }

  function listQueries() {
    const wanted = at("find").value.trim().toLowerCase();
    const kept = at("query").value;
    const options = [];
    data.query.forEach((name, i) => {
      const begin = data.text ? data.text[i].replace(/\s+/g, " ") : "";
      if (wanted && !`${name} ${data.task[i]} ${begin}`.toLowerCase().includes(wanted)) return;
      options.push(make("option", { value: String(i) }, `${name} (${data.task[i]})${begin ? ` ${begin.slice(0, 60)}` : ""}`));
    });
    at("query").replaceChildren(...options);
    if ([...at("query").options].some((option) => option.value === kept)) at("query").value = kept;
  }

  function interval(i, j) {
    const [low, mean, high] = [data.lower[i][j] / 100, data.p[i][j] / 100, data.upper[i][j] / 100];
    const told = `${(low / 100).toFixed(2)} to ${(high / 100).toFixed(2)}`;
    const bar = make("div", { class: "interval", "aria-hidden": "true" },
      make("span", { style: `left:${low}%;width:${high - low}%` }), make("i", { style: `left:${mean}%` }));
    return [bar, make("small", {}, told)];
  }

  function showQuery(alpha) {
    const value = at("query").value;
    at("text").hidden = !data.text || value === "";
    if (value === "") {
      at("choice").textContent = "No query has that in its id, task or text.";
      rowsOf("candidates", []);
      return;
    }
    const i = Number(value);
    const order = ranked(i, alpha);
    const j = order[0].j;
    let told = `${data.query[i]} (${data.task[i]}) goes to ${data.llm[j]}: P(correct) ${(data.p[i][j] / 10000).toFixed(2)}`;
    if (data.priced) told += ` at ${usd(data.cost[i][j])} USD, α ${alpha.toFixed(2)}`;
    told += ".";
    if (data.score && data.score[i][j] !== null) told += ` Its answer in the data scored ${(data.score[i][j] / 100).toFixed(2)}.`;
    at("choice").textContent = told;
    if (data.text) at("text").textContent = data.text[i];
    rowsOf("candidates", order.slice(0, SHOWN).map(({ j: k }, place) =>
      make("tr", place ? {} : { class: "chosen" }, make("th", { scope: "row" }, data.llm[k]),
        make("td", { class: "number" }, (data.p[i][k] / 10000).toFixed(2)), make("td", {}, ...interval(i, k)),
        make("td", { class: "number" }, data.priced ? usd(data.cost[i][k]) : "–"),
        make("td", { class: "number" }, (data.best[i][k] / 1000).toFixed(2)))));
  }

  function step(by) {
    const select = at("query");
    if (!select.options.length) return;
    select.selectedIndex = (select.selectedIndex + by + select.options.length) % select.options.length;
    showQuery(Number(slider.value));
  }

  function show() {
    showRoute(Number(slider.value));
    showQuery(Number(slider.value));
  }

  slider.addEventListener("input", show);
  at("marked").append(...singles.map((one, k) => make("option", { value: String(k) }, one.name)));
  at("marked").addEventListener("change", showMarked);
  at("find").addEventListener("input", () => { listQueries(); showQuery(Number(slider.value)); });
  at("query").addEventListener("change", () => showQuery(Number(slider.value)));
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  window.addEventListener("resize", () => showRoute(Number(slider.value)));
  listQueries();
  show();
})();
