"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { rows, blocks, drawn, tested, texts, settings } = data;
  const NONE = "–";
  const at = (id) => document.getElementById(id);
  const form = at("filters");
  const body = document.querySelector("#rows tbody");
  const lines = [...body.rows];
  const ticks = lines.map((line) => line.querySelector("input"));
  const placesInBlock = [];
  const sizes = blocks.map(() => 0);
  for (const row of rows) placesInBlock.push(sizes[row.block]++);

  // Text goes in as text only: titles come from records.
  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }
  const fixed = (value, digits = 2) => (value === null ? NONE : value.toFixed(digits));
  const signed = (value) => (value > 0 ? "+" : "") + fixed(value);
  const interval = ([mean, width]) => (mean === null ? NONE : fixed(mean) + (width === null ? "" : ` ± ${fixed(width)}`));
  const nameOf = (row) => `${row.label} · ${blocks[row.block].name}`;
  const json = (value) => Object.entries(value).map(([key, one]) => `${key} ${JSON.stringify(one)}`).join(", ") || "none";

  // Filters -------------------------------------------------------------------------------------------------------------
  function fits(row) {
    const block = blocks[row.block];
    const of = { protocol: block.protocol, recipe: block.recipe, split: block.split, method: row.method };
    const text = form.elements.text.value.trim().toLowerCase();
    return (
      Object.entries(of).every(([name, value]) => ["", value].includes(form.elements[name].value)) &&
      (row.state !== "study" || form.elements.studies.checked) &&
      (row.state !== "other settings" || form.elements.others.checked) &&
      `${row.label} ${row.variant} ${block.page} ${block.name}`.toLowerCase().includes(text)
    );
  }
  function filter() {
    let shown = 0;
    lines.forEach((line, n) => {
      const row = rows[Number(line.dataset.row)];
      line.hidden = !fits(row);
      if (line.nextSibling?.classList?.contains("opened")) line.nextSibling.hidden = line.hidden;
      shown += !line.hidden;
    });
    at("count").textContent = `${shown} of ${rows.length} rows`;
    offer();
  }

  // Sorting: numbers as numbers, missing ones last in both directions ------------------------------------------------------
  const keyOf = (line, column) => {
    const cell = line.cells[column];
    if (!("value" in cell.dataset)) return cell.textContent.trim();
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  function sort(heading, column) {
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const keys = new Map(lines.map((line) => [line, keyOf(line, column)]));
    const order = [...lines].sort((one, other) => {
      const [a, b] = [keys.get(one), keys.get(other)];
      if (a === null || b === null) return (a === null) - (b === null);
      const way = typeof a === "number" ? a - b : a.localeCompare(b, "en");
      return descending ? -way : way;
    });
    document.querySelectorAll("#rows tr.opened").forEach((line) => line.remove());
    document.querySelectorAll("#rows [aria-expanded]").forEach((button) => button.setAttribute("aria-expanded", "false"));
    body.append(...order);
  }

  // One row opened -------------------------------------------------------------------------------------------------------
  function grid(values, corner, columns) {
    const table = element("table");
    table.append(element("tr", {}, element("th", {}, corner), ...columns.map((name) => element("th", {}, name))));
    values.forEach((cells, t) => {
      const line = element("tr", {}, element("th", {}, String(t)));
      columns.forEach((_, j) => line.append(element("td", {}, j in cells ? fixed(cells[j]) : "")));
      table.append(line);
    });
    return table;
  }
  function details(row) {
    const block = blocks[row.block];
    const list = element("dl");
    const say = (term, ...children) => list.append(element("dt", {}, term), element("dd", {}, ...children));
    const origins = row.matrix.map((_, j) => `of ${j}`);
    if (row.command) say("The command that repeats it", element("code", {}, row.command));
    else say("The command that repeats it", "none: no file describes these settings now");
    say("Seeds", row.run.join(", "));
    if (row.edited.length) say("Sources changed since", `seed ${row.edited.join(", ")}, under the same version`);
    say("Changed parameters", json(row.changed));
    say("Parameters", `${json(settings[row.settings])}; version ${row.version}`);
    const { recipe_settings: recipe, ...others } = block.settings;
    say("Base session", `${row.base}, trained with ${json(recipe)}`);
    say("Data and network", json(others));
    say("Environment", ...row.environments.map(([text, seeds]) => element("div", {}, `${texts[text]} (seed ${seeds.join(", ")})`)));
    if (row.studies.length) say("Shown by the studies", row.studies.join(", "));
    for (const said of row.verdicts) {
      const printed = said.accuracy.map((value) => fixed(value)).join(" ");
      const notes = said.notes.length ? `; ${said.notes.join("; ")}` : "";
      say(`Published: ${said.row}`, element("div", {}, `${said.word}: ${said.reason}${notes}`), element("div", {}, `printed: ${printed}`));
    }
    const { cost } = row;
    if (cost) {
      const base = cost.base === null ? "from the cache" : `${fixed(cost.base, 1)} s`;
      const own = `training ${fixed(cost.training, 1)} s, testing ${fixed(cost.testing, 1)} s, memory ${fixed(cost.memory, 0)} MiB`;
      say("Cost", `base ${base}, ${own}; mean over ${cost.seeds} seed${cost.seeds === 1 ? "" : "s"} on ${texts[cost.processor]}, memory the highest`);
    }
    for (const [metric, title] of Object.entries(drawn)) say(title, row.curves[metric].map(interval).join(", "));
    say("Accuracy by session of origin", grid(row.matrix, "after", origins));
    if (row.confusion) {
      const taken = row.matrix.map((_, j) => `taken for ${j}`);
      const title = `Confusion by session of origin, in percent of its images, after the last session (${row.confusion.seeds} seed${row.confusion.seeds === 1 ? "" : "s"})`;
      say(title, grid(row.confusion.percent, "of", taken));
    }
    return list;
  }
  function open(line) {
    const next = line.nextSibling;
    const opened = next?.classList?.contains("opened");
    line.querySelector("td button").setAttribute("aria-expanded", String(!opened));
    if (opened) return next.remove();
    const cell = element("td", { colspan: line.cells.length }, details(rows[Number(line.dataset.row)]));
    line.after(element("tr", { class: "opened" }, cell));
  }

  // Curves ---------------------------------------------------------------------------------------------------------------
  const ticked = () => rows.filter((_, n) => ticks[n].checked);
  function swatch(look) {
    const svg = d3.create("svg").attr("viewBox", "0 0 34 12").attr("aria-hidden", "true");
    svg.append("line").attr("x2", 34).attr("y1", 6).attr("y2", 6).attr("stroke", look.colour).attr("stroke-dasharray", look.dash);
    const symbol = d3.symbol(d3[`symbol${look.symbol[0].toUpperCase()}${look.symbol.slice(1)}`], 40)();
    svg.append("path").attr("d", symbol).attr("transform", "translate(17 6)").attr("fill", look.colour);
    return svg.node();
  }
  function draw() {
    const chosen = ticked();
    const metric = at("metric").value;
    const marks = [];
    const all = [];
    for (const row of chosen) {
      const points = row.curves[metric].map(([mean, width], session) => ({ session, mean, width, low: mean - width, high: mean + width }));
      const { colour, symbol, dash } = row.look;
      const band = points.map((one) => (one.width === null || one.mean === null ? { ...one, low: NaN, high: NaN } : one));
      marks.push(Plot.areaY(band, { x: "session", y1: "low", y2: "high", fill: colour, fillOpacity: 0.14 }));
      marks.push(Plot.lineY(points, { x: "session", y: "mean", stroke: colour, strokeDasharray: dash }));
      marks.push(Plot.dot(points.filter((one) => one.mean !== null), { x: "session", y: "mean", fill: colour, symbol, r: 4 }));
      for (const one of points) {
        if (one.mean !== null) all.push({ ...one, title: `${nameOf(row)}\nsession ${one.session}: ${interval([one.mean, one.width])}` });
      }
    }
    at("chart").replaceChildren();
    at("legend").replaceChildren(...chosen.map((row) => element("li", {}, swatch(row.look), nameOf(row))));
    const apart = new Set(chosen.map((row) => row.block)).size;
    at("mixed").textContent = apart > 1 ? `Rows of ${apart} blocks: other sessions, classes or settings; look, but do not rank.` : "";
    if (!all.length) return at("chart").append(chosen.length ? "No row drawn has this number." : "No row is ticked.");
    marks.push(Plot.tip(all, Plot.pointer({ x: "session", y: "mean", title: "title" })));
    const sessions = d3.range(d3.max(all, (one) => one.session) + 1);
    at("chart").append(
      Plot.plot({
        width: Math.min(1000, document.body.clientWidth - 40),
        height: 460,
        grid: true,
        ariaLabel: `${drawn[metric]}, ${chosen.length} rows`,
        style: { background: "transparent", color: "currentColor", fontSize: "13px", "--plot-background": "Canvas" },
        x: { label: "session", ticks: sessions, tickFormat: "d" },
        y: { label: `${drawn[metric]} (%)`, nice: true },
        marks,
      }),
    );
  }

  // Two rows compared ----------------------------------------------------------------------------------------------------
  function offer() {
    const unseen = rows.filter((row, n) => ticks[n].checked && !fits(row)).length;
    at("unseen").textContent = unseen ? `The filters hide ${unseen} of the rows drawn.` : "";
    for (const select of [at("first"), at("second")]) {
      const before = select.value;
      const visible = rows.map((row, n) => [row, n]).filter(([row, n]) => fits(row) || ticks[n].checked);
      select.replaceChildren(element("option", { value: "" }, "choose a row"));
      visible.forEach(([row, n]) => select.append(element("option", { value: n }, nameOf(row))));
      select.value = [...select.options].some((option) => option.value === before) ? before : "";
    }
    compare();
  }
  function pairOf(first, second) {
    const [one, other] = [placesInBlock[first], placesInBlock[second]];
    const [low, high] = [Math.min(one, other), Math.max(one, other)];
    const size = sizes[rows[first].block];
    const place = low * size - (low * (low + 1)) / 2 + high - low - 1;
    const turn = one < other ? 1 : -1;
    return Object.entries(blocks[rows[first].block].pairs).map(([metric, pairs]) => {
      const [mean, width, p, seeds] = pairs[place];
      return { metric, mean: mean === null ? null : turn * mean, width, p, seeds };
    });
  }
  function compare() {
    const target = at("pair");
    const [first, second] = [at("first").value, at("second").value];
    target.replaceChildren();
    if (first === "" || second === "") return target.append("Choose two rows, or tick two.");
    if (first === second) return target.append("These are the same row.");
    const pair = [rows[Number(first)], rows[Number(second)]];
    const table = element("table", { id: "held" });
    const heading = ["", pair[0].label, pair[1].label, "First − second", "p", "Common seeds"];
    table.append(element("tr", {}, ...heading.map((text) => element("th", {}, text))));
    const same = pair[0].block === pair[1].block;
    const tests = same ? pairOf(Number(first), Number(second)) : Object.keys(tested).map((metric) => ({ metric, mean: null }));
    for (const { metric, mean, width, p, seeds } of tests) {
      const ends = pair.map((row) => interval(row.curves[metric].at(-1)));
      const difference = mean === null ? NONE : signed(mean) + (width === null ? "" : ` ± ${fixed(width)}`);
      const said = p === null || p === undefined ? NONE : p < 0.001 ? "<0.001" : p.toFixed(3);
      const cells = [tested[metric], ...ends, difference, said, same ? String(seeds) : NONE];
      table.append(element("tr", {}, ...cells.map((text) => element("td", {}, text))));
    }
    target.append(table);
    const size = sizes[pair[0].block];
    target.append(
      element(
        "p",
        {},
        same
          ? "After the last session, the paired t-test over the seeds that both have, for one pair that was named beforehand. " +
              `This block has ${(size * (size - 1)) / 2} pairs: picked among them for its look, a pair needs p below 0.05 divided by that number.`
          : "No paired test: the two rows are of different blocks, and their seeds are not the same sessions.",
      ),
    );
  }

  // What the controls do -------------------------------------------------------------------------------------------------
  document.querySelectorAll("#rows thead th").forEach((heading, column) => {
    heading.querySelector("button")?.addEventListener("click", () => sort(heading, column));
  });
  lines.forEach((line, n) => {
    const button = line.querySelector("td button");
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => open(line));
    if (rows[n].cost) line.cells[line.cells.length - 1].title = texts[rows[n].cost.processor];
  });
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  ticks.forEach((tick) =>
    tick.addEventListener("change", () => {
      offer();
      const chosen = rows.map((_, n) => n).filter((n) => ticks[n].checked);
      if (chosen.length === 2) [at("first").value, at("second").value] = chosen.map(String);
      compare();
      draw();
    }),
  );
  at("metric").addEventListener("input", draw);
  at("clear").addEventListener("click", () => {
    ticks.forEach((tick) => (tick.checked = false));
    offer();
    draw();
  });
  at("first").addEventListener("input", compare);
  at("second").addEventListener("input", compare);
  const best = (row) => -(row.curves.accuracy.at(-1)[0] ?? 0);
  const start = rows.filter((row) => row.block === rows[0].block && ["leader", "tie", "behind", "ahead", "no test"].includes(row.standing));
  const inTests = start.filter((row) => row.standing !== "no test");
  const shown = new Set((inTests.length ? inTests : start).sort((one, other) => best(one) - best(other)).slice(0, 8));
  ticks.forEach((tick, n) => (tick.checked = shown.has(rows[n])));
  at("drawing").hidden = at("comparing").hidden = false;
  filter();
  draw();
})();
