"use strict";
const $ = (id) => document.getElementById(id);
const state = {key: sessionStorage.getItem("openaffect-key") || "", file: null, url: null, run: null, current: null, job: null, name: "", result: null, start: 0, end: 0, recorder: null};
const FORMS = [["json", "JSON"], ["csv", "CSV"], ["vtt", "WebVTT"], ["srt", "SRT"], ["eaf", "ELAN"], ["textgrid", "TextGrid"], ["html", "HTML report"]];
const PAUSES = [1, 2, 4, 8, 16, 32, 64];  // seconds before a lost stream is opened again

class Lost extends Error {}

async function call(path, options = {}) {
  const headers = {...(options.headers || {})};
  if (state.key) headers.authorization = "Bearer " + state.key;
  const answer = await fetch(path, {...options, headers});
  if (answer.status === 401) $("key-form").hidden = false;
  if (!answer.ok) {
    let told = "The service answered " + answer.status + ".";
    try { told = (await answer.json()).error.message; } catch { /* no JSON: the number must do */ }
    throw Object.assign(new Error(told), {status: answer.status});
  }
  return answer;
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function drawing(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const say = (text) => { $("status").textContent = text; };
const complain = (text) => { $("error").textContent = text; };
const short = (model) => model.split("/").pop();
const percent = (share) => Math.round(100 * share) + " %";
const clock = (s) => Math.floor(s / 60) + ":" + String((s % 60).toFixed(1)).padStart(4, "0");

// Choosing and recording

function choose(file) {
  state.file = file;
  $("chosen").textContent = file ? file.name + ", " + (file.size / 2 ** 20).toFixed(1) + " MiB" : "No clip chosen.";
}

// A clip from elsewhere; the field is emptied, or the same file, chosen again, would be no change.
function bring(file) {
  $("file").value = "";
  choose(file);
}

$("file").addEventListener("change", () => choose($("file").files[0] || null));
for (const name of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) bring(event.dataTransfer.files[0]);
  });
}

// The camera; without a microphone its picture alone.
async function camera() {
  try {
    return await navigator.mediaDevices.getUserMedia({video: true, audio: true});
  } catch (error) {
    if (error.name !== "NotFoundError") throw error;
    const stream = await navigator.mediaDevices.getUserMedia({video: true});
    say("There is no microphone: no sound is recorded.");
    return stream;
  }
}

function recording(recorder) {
  state.recorder = recorder;
  $("record").textContent = recorder ? "Stop recording" : "Record from the camera";
  $("record").setAttribute("aria-pressed", recorder !== null);
  $("preview").hidden = !recorder;
  $("preview").srcObject = recorder && recorder.stream;
  ready();
}

if (!navigator.mediaDevices) {
  $("record").disabled = true;
  $("no-camera").hidden = false;
}
$("record").addEventListener("click", async () => {
  if (state.recorder) { state.recorder.stop(); return; }
  complain("");
  $("record").disabled = true;  // a second click would turn on a camera that nobody turns off
  let stream;
  try {
    stream = await camera();
    const pieces = [];
    const recorder = new MediaRecorder(stream);
    recorder.ondataavailable = (event) => pieces.push(event.data);
    recorder.onstop = () => {
      stream.getTracks().forEach((track) => track.stop());
      const kind = recorder.mimeType.split(";")[0] || "video/webm";
      bring(new File(pieces, "recording." + (kind.includes("mp4") ? "mp4" : "webm"), {type: kind}));
      recording(null);
    };
    recorder.start();
    recording(recorder);
  } catch (error) {
    if (stream) stream.getTracks().forEach((track) => track.stop());
    complain("The camera cannot be used: " + error.message);
  } finally {
    $("record").disabled = false;
  }
});

// Analysing

async function* streamOf(job) {
  const answer = await call("/v1/jobs/" + job + "/events");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    held += value;
    const blocks = held.split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      const line = block.split("\n").find((text) => text.startsWith("data: "));
      if (line) yield JSON.parse(line.slice(6));
    }
  }
}

// The events of a job. A stream that is lost is opened again, and then tells all of them anew.
async function* eventsOf(job, signal) {
  for (let told = 0, tries = 0; ; tries++) {
    let number = 0;
    try {
      for await (const event of streamOf(job)) {
        if (++number > told) [told, tries] = [number, 0];
        yield event;
      }
    } catch (error) {
      if (error.status === 404) throw error;  // there is no such job any more
    }
    if (tries === PAUSES.length) throw new Lost("The connection to the service was lost; the analysis may go on there.");
    say("The connection to the service was lost; it is tried again.");
    await pause(PAUSES[tries], signal);
  }
}

async function pause(seconds, signal) {
  if (!signal.aborted) await new Promise((go) => { setTimeout(go, 1000 * seconds); signal.onabort = go; });
}

// Put a clip into the player, or none; an address that nobody revokes keeps its clip in memory.
function play(file) {
  if (state.url) URL.revokeObjectURL(state.url);
  state.url = file && URL.createObjectURL(file);
  if (file) { $("player").src = state.url; return; }
  $("player").removeAttribute("src");
  $("player").load();
}

// Nothing can be sent while something is analysed, or while the clip is still recorded.
function ready() {
  $("go").disabled = Boolean(state.run || state.recorder);
}

function busy(run) {
  state.run = run;
  ready();
  $("cancel").hidden = !run && !state.current;
  $("progress").hidden = !run;
  $("progress").removeAttribute("value");
  $("reached").textContent = "";
}

// What is asked for now; the fields may say something else before the last model has answered.
const asked = () => ({file: state.file, labels: $("labels").value, subtitle: $("subtitle").value, keep: $("keep").checked});

async function analyse({file, labels, subtitle, keep}, model, column, signal) {
  const form = new FormData();
  form.set("file", file, file.name);
  form.set("model", model);
  form.set("labels", labels);
  form.set("subtitle", subtitle);
  form.set("keep", keep);
  const {id} = await (await call("/v1/jobs", {method: "POST", body: form, signal})).json();
  state.current = id;
  if (column === 0) Object.assign(state, {job: id, name: file.name});
  await followed(id, model, column, signal);
  state.current = null;
}

async function followed(job, model, column, signal) {
  const segments = [];
  for await (const event of eventsOf(job, signal)) {
    if (event.type === "queued") say("Waiting, number " + event.position + " in the queue.");
    else if (event.type === "started") say("Reading the clip.");
    else if (event.type === "segment") {
      if (segments.length && event.value.start <= segments.at(-1).start) continue;  // told anew
      segments.push(event.value);
      $("progress").value = event.progress;
      $("reached").textContent = segments.length + " segments read, up to " + clock(event.value.end) + ".";
      show({segments, emotions: event.value.emotions, clues: event.value.clues, reasoning: event.value.reasoning, open_emotions: event.value.open_emotions, clip: {start: 0, end: event.value.end}}, column, model, true);
    } else if (event.type === "done") {
      show(event.result, column, model, false, event.moments);
      return;
    } else if (event.type === "failed") throw new Error(event.error);
    else if (event.type === "cancelled") throw new Error("The analysis was cancelled.");
  }
}

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  complain("");
  if (!state.file) { complain("Choose or record a clip first."); $("file").focus(); return; }
  clear();
  const run = new AbortController();
  busy(run);
  say("Sending the clip.");
  const request = asked();
  const moves = !request.file.type.startsWith("image/");
  play(moves ? request.file : null);
  $("stage").hidden = !moves;
  try {
    const models = [$("model").value, $("other").value].filter((name, at, all) => name && all.indexOf(name) === at);
    for (const [at, model] of models.entries()) {
      await analyse(request, model, at, run.signal);
      if (at === 0) offer();  // whatever becomes of the other model
    }
    say("Done.");
    if ([$("go"), $("cancel"), document.body].includes(document.activeElement)) $("results").focus();
  } catch (error) {
    const lost = error instanceof Lost;
    if (lost) offer();
    else state.current = null;
    complain(run.signal.aborted && !lost ? "The analysis was cancelled." : error.message);
    say("");
  } finally {
    busy(null);
  }
});

// Nothing more is sent; what is already a job is cancelled there.
$("cancel").addEventListener("click", async () => {
  const {run, current} = state;
  if (run) run.abort();
  if (!current) return;
  try {
    await call("/v1/jobs/" + current, {method: "DELETE"});
    if (run || state.current !== current) return;  // its events tell of it, or another run goes on
    state.current = null;
    $("cancel").hidden = true;
    complain("The analysis was cancelled.");
  } catch (error) { complain(error.message); }
});

function clear() {
  state.result = null;
  state.current = null;
  $("cancel").hidden = !state.run;
  $("columns").replaceChildren();
  $("answers").replaceChildren();
  $("lane-list").replaceChildren();
  $("boxes").replaceChildren();
  for (const id of ["watch", "follow", "downloads"]) $(id).hidden = true;
}

// Findings

function cardOf(model) {
  const card = element("section", null, {"aria-label": "Findings of " + short(model)});
  card.append(element("h2", "Emotion perceived as · " + short(model)), element("div"), element("div"), element("div"));
  $("columns").append(card);
  return card;
}

function show(result, column, model, partial, moments = []) {
  const [, findings, course, use] = ($("columns").children[column] || cardOf(model)).children;
  const bars = element("dl", null, {class: "bars"});
  for (const emotion of result.emotions.slice(0, 9)) {
    const meter = element("meter", null, {min: 0, max: 1, value: emotion.probability, "aria-label": emotion.label});
    const cell = element("dd");
    cell.append(meter);
    bars.append(element("dt", emotion.label), element("dd", percent(emotion.probability)), cell);
  }
  const parts = [bars];
  if (result.open_emotions.length) parts.push(element("p", "In open words: " + result.open_emotions.join(", ")));
  parts.push(element("h3", "Why"), element("p", result.reasoning));
  if (Object.keys(result.clues).length) parts.push(element("h3", "Clues"), cluesOf(result.clues, moments));
  findings.replaceChildren(...parts);
  if (result.segments.length) extend(course, result.segments);
  if (!partial) {
    const notes = result.warnings.map((warning) => element("p", "Note: " + warning, {class: "quiet"}));
    use.replaceChildren(element("h3", "What was used"), usesOf(result.modalities), ...notes);
  }
  if (column === 0) {
    state.result = result;
    lanesOf(result);
    $("watch").hidden = false;
  }
}

// A clue that has moments is a button to the first of them, and stands out while one is shown.
function cluesOf(clues, moments) {
  const list = element("ul", null, {class: "clues"});
  for (const [kind, found] of Object.entries(clues)) for (const clue of found) {
    const placed = moments.find((one) => one.kind === kind && one.clue === clue);
    const item = element("li", kind + ": " + (placed ? "" : clue));
    if (placed) {
      item.dataset.spans = JSON.stringify(placed.spans);
      const button = element("button", clue, {type: "button", class: "clue", title: "Show its moment, " + clock(placed.spans[0][0])});
      button.addEventListener("click", () => seek(placed.spans[0][0] + 0.01));
      item.append(button);
    }
    list.append(item);
  }
  return list;
}

// The rows that are there stay, and with them the focus and how far they are scrolled.
function extend(course, segments) {
  if (!course.firstChild) {
    const box = element("div", null, {class: "scroll", tabindex: "0", role: "region", "aria-label": "Segments"});
    box.append(element("table"));
    course.append(element("h3", "Over time"), box);
  }
  const table = course.querySelector("table");
  for (const segment of segments.slice(table.rows.length)) {
    const row = element("tr", null, {"data-start": segment.start, "data-end": segment.end});
    const button = element("button", clock(segment.start), {type: "button", "aria-label": "Play from " + clock(segment.start)});
    button.addEventListener("click", () => { seek(segment.start); $("player").play().catch(() => {}); });
    const first = element("td");
    first.append(button);
    const top = segment.emotions[0];
    const clues = element("td", segment.reasoning);
    row.append(first, element("td", top ? top.label + " " + percent(top.probability) : ""), clues);
    table.append(row);
  }
}

function usesOf(modalities) {
  const list = element("ul");
  for (const [name, use] of Object.entries(modalities)) list.append(element("li", name + ": " + (use.used ? "used" : "not used, " + use.reason)));
  return list;
}

// Timeline

function lane(name, make) {
  const row = element("div", null, {class: "lane"});
  const picture = drawing("svg", {viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img", "aria-label": name + " over time"});
  make(picture);
  row.append(element("span", name), picture);
  return row;
}

const across = (seconds) => 1000 * (seconds - state.start) / Math.max(state.end - state.start, 0.001);

function course(name, kind, points, low, high) {
  return lane(name, (picture) => {
    let path = "", last = null;
    const steps = points.slice(1).map((point, at) => point[0] - points[at][0]).sort((a, b) => a - b);
    const gap = 2.5 * (steps[Math.floor(steps.length / 2)] || 1);
    for (const [time, value] of points) {
      const y = 92 - 84 * (value - low) / Math.max(high - low, 1e-6);
      path += (last === null || time - last > gap ? "M" : "L") + across(time).toFixed(1) + " " + y.toFixed(1);
      last = time;
    }
    picture.append(drawing("path", {class: kind, d: path || "M0 0"}));
  });
}

function lanesOf(result) {
  state.start = result.clip.start;
  state.end = Math.max(result.clip.end, result.clip.start + 1);
  const lanes = [];
  if (result.segments.length) {
    lanes.push(lane("emotion", (picture) => {
      for (const segment of result.segments) {
        const block = drawing("rect", {x: across(segment.start), y: 12, width: Math.max(across(segment.end) - across(segment.start), 1), height: 76});
        const title = drawing("title", {});
        title.textContent = segment.emotions.length ? segment.emotions[0].label : "";
        block.append(title);
        picture.append(block);
      }
      for (const change of result.changes || []) picture.append(drawing("line", {class: "change", x1: across(change.time), x2: across(change.time), y1: 0, y2: 100}));
    }));
  }
  const timeline = result.timeline || [];
  for (const emotion of (timeline.length ? result.emotions.slice(0, 4) : [])) {
    const points = timeline.map((point) => [point.time, (point.emotions.find((e) => e.label === emotion.label) || {probability: 0}).probability]);
    lanes.push(course(emotion.label, "emotion", points, 0, 1));
  }
  const signals = result.signals || {face: [], voice: []};
  const main = (result.people || []).find((person) => person.main);
  const faces = signals.face.filter((sample) => main && sample.track === main.track);
  for (const [name, pair] of [["smile", ["mouthSmileLeft", "mouthSmileRight"]], ["inner brow up", ["browInnerUp"]], ["jaw open", ["jawOpen"]]]) {
    const points = faces.filter((sample) => pair[0] in sample.values).map((sample) => [sample.time, pair.reduce((sum, key) => sum + sample.values[key], 0) / pair.length]);
    if (points.length > 1) lanes.push(course(name, "face", points, 0, 1));
  }
  const pitch = signals.voice.filter((sample) => sample.pitch !== null).map((sample) => [sample.time, sample.pitch]);
  if (pitch.length > 1) {
    const values = pitch.map((point) => point[1]);
    lanes.push(course("voice pitch", "voice", pitch, Math.min(...values), Math.max(...values)));
  }
  $("lane-list").replaceChildren(...lanes);
  $("lanes").setAttribute("aria-valuemin", state.start.toFixed(1));
  $("lanes").setAttribute("aria-valuemax", state.end.toFixed(1));
  follow();
}

function seek(seconds) {
  const player = $("player");
  player.currentTime = Math.min(Math.max(seconds, state.start), state.end);
  follow();
}

function follow() {
  const now = $("player").currentTime || 0;
  $("mark").style.left = Math.min(Math.max(across(now) / 10, 0), 100) + "%";
  $("lanes").setAttribute("aria-valuenow", now.toFixed(1));
  $("lanes").setAttribute("aria-valuetext", now.toFixed(1) + " seconds");
  for (const row of document.querySelectorAll("tr[data-start]")) {
    row.classList.toggle("current", now >= Number(row.dataset.start) && now < Number(row.dataset.end));
  }
  for (const item of document.querySelectorAll("li[data-spans]")) {
    const on = JSON.parse(item.dataset.spans).some(([start, end]) => now >= start && now < end);
    item.classList.toggle("current", on);
    item.firstElementChild.setAttribute("aria-current", on);
  }
  boxesAt(now);
  const segment = state.result && state.result.segments.find((one) => now >= one.start && now < one.end);
  $("now").textContent = segment && segment.emotions.length ? clock(now) + ": perceived as " + segment.emotions[0].label + ". " + segment.reasoning : "";
}

function boxesAt(now) {
  const samples = (state.result && state.result.signals && state.result.signals.face) || [];
  const nearest = new Map();
  for (const sample of samples) {
    const away = Math.abs(sample.time - now);
    if (sample.box && away < 1 && (!nearest.has(sample.track) || away < Math.abs(nearest.get(sample.track).time - now))) nearest.set(sample.track, sample);
  }
  $("boxes").replaceChildren(...[...nearest.values()].map(({box}) => drawing("rect", {x: box[0], y: box[1], width: box[2] - box[0], height: box[3] - box[1]})));
}

{
  const toTime = (event) => {
    const box = document.querySelector(".head").getBoundingClientRect();
    return state.start + (state.end - state.start) * (event.clientX - box.left) / box.width;
  };
  let press = null;  // one that moves up or down may become a scroll of the page, which cancels it
  const sideways = (event) => Math.abs(event.clientX - press.clientX) > Math.abs(event.clientY - press.clientY);
  $("lanes").addEventListener("pointerdown", (event) => { press = event.button === 0 ? event : null; });
  $("lanes").addEventListener("pointermove", (event) => { if (press && sideways(event)) seek(toTime(event)); });
  window.addEventListener("pointerup", (event) => { if (press) seek(toTime(event)); press = null; });
  window.addEventListener("pointercancel", () => { press = null; });
  $("lanes").addEventListener("keydown", (event) => {
    const steps = {ArrowRight: 0.5, ArrowUp: 0.5, ArrowLeft: -0.5, ArrowDown: -0.5, PageUp: 5, PageDown: -5};
    const player = $("player");
    if (event.key in steps) seek(player.currentTime + steps[event.key]);
    else if (event.key === "Home") seek(state.start);
    else if (event.key === "End") seek(state.end);
    else if (event.key === " ") player.paused ? player.play().catch(() => {}) : player.pause();
    else return;
    event.preventDefault();
  });
  for (const name of ["timeupdate", "seeked", "loadedmetadata"]) $("player").addEventListener(name, follow);
}

// Follow-up, downloads, purge

function offer() {
  $("follow").hidden = false;
  $("downloads").hidden = false;
}

for (const [form, name] of FORMS) {
  const button = element("button", name, {type: "button", "data-form": form});
  button.addEventListener("click", () => download(form).catch((error) => complain(error.message)));
  $("forms").append(button);
}

async function download(form) {
  const {job, name} = state;
  const answer = await call("/v1/jobs/" + job + "/result/" + form);
  const suffix = /filename="result([^"]*)"/.exec(answer.headers.get("content-disposition"))[1];
  const link = element("a", null, {href: URL.createObjectURL(await answer.blob()), download: name.replace(/\.[^.]*$/, "") + suffix});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

$("question-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = $("question").value.trim();
  if (!question) return;
  complain("");
  const item = element("li");
  item.append(element("p", question), element("p", "…", {class: "answer"}));
  $("answers").append(item);
  try {
    const body = JSON.stringify({question, at: $("player").currentTime || 0});
    const answer = await (await call("/v1/jobs/" + state.job + "/questions", {method: "POST", headers: {"content-type": "application/json"}, body})).json();
    item.lastChild.textContent = answer.answer || "no answer";
    $("question").value = "";
  } catch (error) {
    item.remove();
    complain(error.message);
  }
});

$("purge").addEventListener("click", async () => {
  complain("");
  try {
    const {uploads} = await (await call("/v1/purge", {method: "POST"})).json();
    clear();
    play(null);
    $("file").value = "";
    choose(null);
    say("Purged: " + uploads + " uploads and all results were deleted.");
  } catch (error) { complain(error.message); }
});

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.key = $("key").value;
  sessionStorage.setItem("openaffect-key", state.key);
  begin();
});

async function begin() {
  try {
    const {data} = await (await call("/v1/models")).json();
    $("key-form").hidden = true;
    complain("");
    $("model").replaceChildren(...data.map(({id}) => element("option", short(id), {value: id})));
    $("other").replaceChildren(element("option", "nothing", {value: ""}), ...data.map(({id}) => element("option", short(id), {value: id})));
    $("other").disabled = data.length < 2;
  } catch (error) { complain(error.message); }
}
begin();
