"use strict";
/* The course of face and voice under the clip, the boxes over it, and the position in both. */
const Timeline = (() => {
  const WIDTH = 1000, HEIGHT = 100, UNITS_SHOWN = 6, BOX_SECONDS = 0.3;
  const lanes = document.getElementById("lanes");
  let player = null, length = 0, now = 0, signals = {}, mark = null;

  function svg(name, attributes) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  function lane(name, kind, times, values, unit) {
    const known = values.filter((value) => value !== null);
    if (!known.length) return;
    const low = kind === "face" ? 0 : Math.min(...known);
    const high = kind === "face" ? 1 : Math.max(...known);
    let path = "", down = false;
    times.forEach((time, index) => {
      const value = values[index];
      if (value === null) { down = false; return; }
      const x = (time / length * WIDTH).toFixed(1);
      const y = (HEIGHT - 10 - (value - low) / (high - low || 1) * (HEIGHT - 20)).toFixed(1);
      path += (down ? "L" : "M") + x + " " + y + (down ? "" : "h0");
      down = true;
    });
    const row = document.createElement("div");
    row.className = "lane";
    const label = document.createElement("span");
    label.textContent = name;
    const told = `${name} over time, ${Math.min(...known).toFixed(2)} to ${Math.max(...known).toFixed(2)} ${unit}`;
    const drawing = svg("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": told.trim()});
    drawing.append(svg("path", {class: kind, d: path}));
    row.append(label, drawing);
    lanes.append(row);
  }

  function draw() {
    lanes.replaceChildren();
    const units = signals.action_units;
    if (units) {
      const moving = Object.entries(units.courses).map(([name, values]) => {
        const known = values.filter((value) => value !== null);
        return [name, values, known.length ? Math.max(...known) - Math.min(...known) : 0];
      });
      moving.sort((a, b) => b[2] - a[2]);
      for (const [name, values] of moving.slice(0, UNITS_SHOWN)) lane(name, "face", units.times, values, "");
    }
    const pitch = signals.pitch;
    if (pitch) {
      lane("voice pitch", "voice", pitch.times, pitch.hertz, "Hz");
      lane("voice level", "voice", pitch.times, pitch.level, "dB");
    }
    const head = document.createElement("div");
    head.className = "head";
    mark = document.createElement("i");
    head.append(mark);
    lanes.append(head);
    lanes.setAttribute("aria-valuemax", length.toFixed(2));
    show(now);
  }

  function boxes() {
    const layer = document.getElementById("boxes");
    if (!layer) return;
    layer.replaceChildren();
    for (const track of signals.faces?.tracks || []) {
      let best = -1;
      track.times.forEach((time, index) => {
        const far = Math.abs(time - now);
        if (far <= BOX_SECONDS && (best < 0 || far < Math.abs(track.times[best] - now))) best = index;
      });
      if (best < 0) continue;
      const [x0, y0, x1, y1] = track.boxes[best].map((edge) => edge * 100);
      layer.append(svg("rect", {x: x0, y: y0, width: x1 - x0, height: y1 - y0}));
    }
  }

  function show(seconds) {
    now = Math.min(Math.max(seconds, 0), length);
    if (mark) mark.style.left = (length ? 100 * now / length : 0) + "%";
    lanes.setAttribute("aria-valuenow", now.toFixed(2));
    lanes.setAttribute("aria-valuetext", now.toFixed(1) + " seconds");
    boxes();
  }

  function seek(seconds) {
    show(seconds);
    if (player && player.readyState) player.currentTime = now;
  }

  function follow() {
    if (!player) return;
    show(player.currentTime);
    if (!player.paused) requestAnimationFrame(follow);
  }

  function lastTime() {
    const ends = [signals.action_units, signals.pitch].filter(Boolean).map((course) => course.times.at(-1) || 0);
    return Math.max(0, ...ends);
  }

  /* A new clip: `media` is its video or audio element, null for a picture. */
  function load(media, found) {
    player = media;
    signals = found;
    now = 0;
    length = lastTime();
    draw();
    if (!player) return;
    player.addEventListener("loadedmetadata", () => { length = Math.max(player.duration || 0, 0.01); draw(); });
    player.addEventListener("play", follow);
    player.addEventListener("timeupdate", () => { if (player === media) show(media.currentTime); });
  }

  function toggle() {
    if (!player) return;
    if (player.paused) player.play().catch(() => {}); else player.pause();
  }

  const toTime = (event) => {
    const box = lanes.querySelector(".head").getBoundingClientRect();
    return length * (event.clientX - box.left) / box.width;
  };
  let press = null;  // one that moves up or down may become a scroll of the page, which cancels it
  const sideways = (event) => Math.abs(event.clientX - press.clientX) > Math.abs(event.clientY - press.clientY);
  lanes.addEventListener("pointerdown", (event) => { press = event.button === 0 ? event : null; });
  lanes.addEventListener("pointermove", (event) => { if (press && sideways(event)) seek(toTime(event)); });
  window.addEventListener("pointerup", (event) => { if (press) seek(toTime(event)); press = null; });
  window.addEventListener("pointercancel", () => { press = null; });
  lanes.addEventListener("keydown", (event) => {
    if (event.key === "Home") seek(0);
    else if (event.key === "End") seek(length);
    else if (event.key === "PageUp" || event.key === "ArrowUp") seek(now + 1);
    else if (event.key === "PageDown" || event.key === "ArrowDown") seek(now - 1);
    else return;
    event.preventDefault();
  });
  return {load, toggle, step: (seconds) => seek(now + seconds)};
})();
