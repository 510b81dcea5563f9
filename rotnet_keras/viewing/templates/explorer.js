"use strict";
// The page's own part: which points are shown where, in which colours, and the card that tells of
// one. Bokeh draws the points, and moves and zooms the map.
(async () => {
  const byId = (id) => document.getElementById(id);
  const facts = JSON.parse(byId("facts").textContent);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const REACH = 14; // pixels from a point at which it is meant
  const DRAWN = { // within a square of 12
    circle: "M6 1a5 5 0 1 0 0 10a5 5 0 1 0 0-10z",
    square: "M1.5 1.5h9v9h-9z",
    triangle: "M6 1l5 9h-10z",
    inverted_triangle: "M6 11l5-9h-10z",
    diamond: "M6 .5l4 5.5l-4 5.5l-4-5.5z",
    hex: "M6 1l4.5 2.5v5l-4.5 2.5l-4.5-2.5v-5z",
    star: "M6 .5l1.5 3.7l4 .3l-3 2.6l.9 3.9l-3.4-2.1l-3.4 2.1l.9-3.9l-3-2.6l4-.3z",
  };

  await Bokeh.embed.embed_item(JSON.parse(byId("points").textContent), "plot");
  const find = (name) => Bokeh.documents[0].get_model_by_name(name);
  const plot = find("plot"), points = find("points");
  const columns = { ...points.data };
  const total = columns.x.length;
  const entries = facts.colourings.map((_, i) => columns[`entry${i}`]);
  const hidden = facts.colourings.map(() => new Set());
  const x = Float32Array.from(columns.x), y = Float32Array.from(columns.y); // where they are now
  let shown = new Uint8Array(total).fill(1);
  let colouring = 0, current = -1, kept = false, movement = 0;
  let number = facts.start, inWhole = true, ours = false; // the map, and whether all of it is in view

  function menu(id, names) {
    const select = byId(id);
    for (const name of names) select.add(new Option(name, name));
    if (names.length < 2) select.parentElement.hidden = true;
    return select;
  }

  const unique = (key) => [...new Set(facts.maps.map((map) => map[key]))];
  const network = menu("network", unique("network"));
  const depth = menu("depth", unique("depth"));
  const colours = menu("colouring", facts.colourings.map(({ name }) => name));
  const looks = menu("look", facts.pictures ? ["pictures", "marks"] : ["marks"]);
  network.value = facts.maps[number].network;
  depth.value = facts.maps[number].depth;

  // Points that are hidden lie nowhere: they are neither drawn nor met.
  function draw() {
    const places = entries[colouring], list = facts.colourings[colouring].entries;
    points.data = {
      ...columns,
      x: x.map((value, i) => (shown[i] ? value : NaN)),
      y: y.map((value, i) => (shown[i] ? value : NaN)),
      colour: Array.from(places, (place) => list[place].colour),
      shape: Array.from(places, (place) => list[place].shape),
    };
    drawThumbnails();
  }

  // Few images are small pictures themselves, the current one above the others. Their order is by
  // chance, as it were, so that no class covers the others; those without a label lie beneath.
  const sheet = byId("thumbnails"), ink = sheet.getContext("2d");
  const mixed = (i) => Math.imul(i + 1, 2654435761) >>> 0;
  const unknown = (i) => Boolean(facts.colourings[0].entries[entries[0][i]].unknown);
  const order = Array.from(x, (_, i) => i).sort((i, j) => unknown(j) - unknown(i) || mixed(i) - mixed(j));
  function sideOfThumbnails() {
    const { width, height } = frame();
    return Math.round(Math.min(44, Math.max(16, Math.sqrt((0.22 * width * height) / total))));
  }

  function drawThumbnails() {
    sheet.hidden = looks.value !== "pictures";
    if (sheet.hidden) return;
    const { width, height } = frame(), dense = window.devicePixelRatio || 1, side = sideOfThumbnails();
    sheet.width = Math.round(width * dense);
    sheet.height = Math.round(height * dense);
    ink.setTransform(dense, 0, 0, dense, 0, 0);
    const list = facts.colourings[colouring].entries;
    const above = current < 0 ? [] : [current];
    for (const i of [...order.filter((one) => one !== current), ...above]) {
      if (!shown[i]) continue;
      const [left, top] = pixels(i).map((place) => Math.round(place - side / 2));
      ink.fillStyle = list[entries[colouring][i]].colour;
      ink.fillRect(left - 3, top - 3, side + 6, side + 6);
      ink.drawImage(atlas, ...cell(i), left, top, side, side);
    }
  }

  function moveTo(chosenMap) {
    number = chosenMap;
    const toX = columns[`x${number}`], toY = columns[`y${number}`];
    const fromX = x.slice(), fromY = y.slice(), start = performance.now();
    const fromView = inWhole && view(), toView = inWhole && wholeView();
    const duration = still.matches ? 0 : 700, mine = ++movement;
    const step = (now) => {
      if (mine !== movement) return; // another has begun
      const part = duration ? Math.min(1, Math.max(0, now - start) / duration) : 1;
      const eased = part * part * (3 - 2 * part);
      for (let i = 0; i < total; i++) {
        x[i] = fromX[i] + eased * (toX[i] - fromX[i]);
        y[i] = fromY[i] + eased * (toY[i] - fromY[i]);
      }
      if (fromView && inWhole) look(fromView.map((value, i) => value + eased * (toView[i] - value)));
      draw();
      place();
      document.body.dataset.moving = part < 1;
      if (part < 1) requestAnimationFrame(step);
    };
    step(start);
  }

  function filter() {
    shown = Uint8Array.from({ length: total }, (_, i) =>
      hidden.every((names, c) => !names.has(entries[c][i])));
    if (current >= 0 && !shown[current]) close();
    const count = shown.reduce((sum, one) => sum + one, 0);
    byId("count").textContent = `${count.toLocaleString("en")} of ${total.toLocaleString("en")} images`;
    byId("all").hidden = count === total;
    draw();
  }

  function swatch({ colour, shape: mark }) {
    const shape = sheet.hidden ? mark : "square"; // as the frames of pictures are
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 12 12");
    svg.setAttribute("aria-hidden", "true");
    const path = svg.appendChild(document.createElementNS(svg.namespaceURI, "path"));
    path.setAttribute("d", DRAWN[shape]);
    path.setAttribute("fill", colour);
    return svg;
  }

  function element(kind, text, name = "") {
    const made = document.createElement(kind);
    made.textContent = text;
    made.className = name;
    return made;
  }

  function legend() {
    byId("legend-title").textContent = facts.colourings[colouring].name;
    const numbers = new Map();
    for (const place of entries[colouring]) numbers.set(place, (numbers.get(place) || 0) + 1);
    byId("legend").replaceChildren(...facts.colourings[colouring].entries.map((entry, i) => {
      const button = document.createElement("button");
      const number = (numbers.get(i) || 0).toLocaleString("en");
      button.type = "button";
      button.append(swatch(entry), element("span", entry.name, "name"));
      button.append(element("span", number, "number"));
      button.setAttribute("aria-pressed", !hidden[colouring].has(i));
      button.addEventListener("click", () => {
        const names = hidden[colouring];
        if (!names.delete(i)) names.add(i);
        button.setAttribute("aria-pressed", !names.has(i));
        filter();
      });
      const item = document.createElement("li");
      item.append(button);
      return item;
    }));
  }

  // Pixels of the map's frame, from the upper left, and back.
  const frame = () => ({ width: plot.inner_width, height: plot.inner_height });
  function pixels(i) {
    const { width, height } = frame(), across = plot.x_range, up = plot.y_range;
    return [
      ((x[i] - across.start) / (across.end - across.start)) * width,
      ((up.end - y[i]) / (up.end - up.start)) * height,
    ];
  }

  const reach = () => (sheet.hidden ? REACH : 0.71 * (sideOfThumbnails() + 6)); // to its corners
  function nearest(left, top, reach, accept = () => true) {
    let best = -1, least = reach ** 2;
    for (let i = 0; i < total; i++) {
      if (!shown[i]) continue;
      const [a, b] = pixels(i), right = a - left, down = b - top;
      const distance = right * right + down * down;
      if (distance <= least && accept(right, down, i)) [best, least] = [i, distance];
    }
    return best;
  }

  // What is in view: from and to along x, from and to along y.
  const view = () => [plot.x_range, plot.y_range].flatMap(({ start, end }) => [start, end]);
  function look([left, right, bottom, top]) {
    ours = true;
    plot.x_range.setv({ start: left, end: right });
    plot.y_range.setv({ start: bottom, end: top });
    ours = false;
  }

  function zoom(factor) {
    const [left, right, bottom, top] = view();
    const [a, b] = current >= 0 ? [x[current], y[current]] : [(left + right) / 2, (bottom + top) / 2];
    const across = ((right - left) / 2) * factor, up = ((top - bottom) / 2) * factor;
    look([a - across, a + across, b - up, b + up]);
    inWhole = false;
  }

  // The whole map, a unit as long upwards as across.
  function wholeView() {
    const { width, height } = frame();
    const ends = ["x", "y"].map((axis) => columns[`${axis}${number}`].reduce(
      ([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]));
    const sizes = ends.map(([low, high]) => high - low || 1);
    const half = sheet.hidden ? 0 : sideOfThumbnails() / 2 + 6; // of a picture at the border
    const room = (length) => length - 2 * Math.max(0.04 * length, half);
    const unit = Math.max(sizes[0] / room(width), sizes[1] / room(height)) / 2;
    const [a, b] = ends.map(([low, high]) => (low + high) / 2);
    return [a - unit * width, a + unit * width, b - unit * height, b + unit * height];
  }

  function whole() {
    look(wholeView());
    inWhole = true;
  }

  const atlas = byId("atlas"), picture = byId("picture").getContext("2d");
  function cell(i) { // of the picture of all images: left, top, width, height
    const wide = Math.ceil(Math.sqrt(total)), side = facts.side;
    return [(i % wide) * side, Math.floor(i / wide) * side, side, side];
  }

  function paint(i) {
    picture.imageSmoothingEnabled = facts.side > 48;
    picture.drawImage(atlas, ...cell(i), 0, 0, 112, 112);
  }

  function tell(i) {
    const first = facts.names ? ["picture", facts.names[i]] : ["image", `${i} (counted from 0)`];
    const said = new Map([first]);
    facts.colourings.forEach(({ name, entries: list }, c) => said.set(name, list[entries[c][i]].name));
    if (columns.chance) {
      const verdict = unknown(i) ? "" : `, ${said.get("error")}`;
      const chance = Math.round(100 * columns.chance[i]);
      said.set("predicted class", `${said.get("predicted class")} ${chance}%${verdict}`);
      said.delete("error");
    }
    const titles = { "predicted class": `${facts.speaker} says`, "rotation accuracy": "rotations predicted right" };
    byId("said").replaceChildren(...[...said].flatMap(([name, value]) => [
      element("dt", titles[name] || name),
      element("dd", name === "rotation accuracy" ? value.replace(" of its rotations", "") : value),
    ]));
  }

  function place() {
    if (current < 0) return;
    const card = byId("card"), ring = byId("ring"), { width, height } = frame(), [left, top] = pixels(current);
    const inside = left >= 0 && left <= width && top >= 0 && top <= height;
    card.hidden = ring.hidden = !inside;
    ring.style.left = `${left}px`;
    ring.style.top = `${top}px`;
    ring.style.setProperty("--side", `${sheet.hidden ? 20 : sideOfThumbnails() + 10}px`);
    ring.style.borderRadius = sheet.hidden ? "50%" : "4px";
    const [wide, high] = [card.offsetWidth, card.offsetHeight];
    const away = sheet.hidden ? 16 : sideOfThumbnails() / 2 + 12;
    const right = left + away + wide <= width ? left + away : left - away - wide;
    card.style.left = `${Math.max(4, Math.min(right, width - wide - 4))}px`;
    const below = top + away, above = top - high - away;
    const upright = right < 4 && below + high > height ? above : top - high / 2;
    const clear = right < 4 && below + high <= height ? below : upright;
    card.style.top = `${Math.max(4, Math.min(clear, height - high - 4))}px`;
  }

  function open(i, keep) {
    if (i < 0) return; // all are hidden
    kept = keep;
    if (i === current) return;
    current = i;
    paint(i);
    tell(i);
    place();
    drawThumbnails();
  }

  function close() {
    current = -1;
    kept = false;
    byId("card").hidden = byId("ring").hidden = true;
    drawThumbnails();
  }

  const DIRECTIONS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  function go([right, down]) {
    const { width, height } = frame();
    if (current < 0) return open(nearest(width / 2, height / 2, Infinity), true);
    const [left, top] = pixels(current);
    const ahead = (a, b, i) => {
      const along = a * right + b * down, aside = Math.abs(a * down) + Math.abs(b * right);
      return i !== current && along > 0 && aside <= along;
    };
    const next = nearest(left, top, Infinity, ahead);
    if (next >= 0) open(next, true);
    const [a, b] = pixels(current);
    if (a < 0 || a > width || b < 0 || b > height) zoom(1);
  }

  const map = byId("map");
  const keys = {
    "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1 / 0.7), 0: whole, Escape: close,
  };
  map.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = DIRECTIONS[event.key] ? () => go(DIRECTIONS[event.key]) : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  const at = (event) => {
    const box = byId("plot").getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  let pressed = null;
  map.addEventListener("pointermove", (event) => {
    if (kept || event.pointerType === "touch" || event.buttons) return;
    const i = nearest(...at(event), reach());
    if (i >= 0) open(i, false);
    else if (current >= 0) close();
  });
  map.addEventListener("pointerleave", () => kept || close());
  map.addEventListener("pointerdown", (event) => { pressed = at(event); }, true);
  map.addEventListener("pointerup", (event) => {
    const [left, top] = at(event);
    if (!pressed || Math.hypot(left - pressed[0], top - pressed[1]) > 6) return;
    const i = nearest(left, top, event.pointerType === "touch" ? 2 * REACH : reach());
    if (i >= 0) open(i, true);
    else close();
  }, true);

  network.addEventListener("change", choose);
  depth.addEventListener("change", choose);
  function choose() {
    moveTo(facts.maps.findIndex((map) => map.network === network.value && map.depth === depth.value));
  }
  colours.addEventListener("change", () => {
    colouring = colours.selectedIndex;
    legend();
    draw();
  });
  looks.addEventListener("change", () => {
    draw();
    legend();
    inWhole ? whole() : place();
  });
  byId("all").addEventListener("click", () => {
    for (const names of hidden) names.clear();
    legend();
    filter();
    byId("legend").querySelector("button").focus(); // this button is gone
  });
  byId("nearer").addEventListener("click", keys["+"]);
  byId("farther").addEventListener("click", keys["-"]);
  byId("whole").addEventListener("click", whole);

  await atlas.decode();
  filter();
  legend();
  whole();
  for (const range of [plot.x_range, plot.y_range]) {
    range.change.connect(() => {
      inWhole &&= ours;
      place();
      drawThumbnails();
    });
  }
  const resized = () => {
    if (inWhole) whole();
    place();
    drawThumbnails();
  };
  new ResizeObserver(() => requestAnimationFrame(resized)).observe(byId("plot"));
  document.body.dataset.ready = "true";
})();
