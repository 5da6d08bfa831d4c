"use strict";
/* Reviewing: one sample at a time. What is entered is kept at every stroke, in this browser and at
   the server; what is saved waits in this browser until the server has it, under an id that makes
   sending it twice harmless. */
(() => {
  const RETRY = 1500, DRAFT_PAUSE = 400;  // milliseconds
  const by = (id) => document.getElementById(id);
  const state = {corpus: null, reviewer: "", queue: "review", open: null};

  const say = (text) => { by("status").textContent = text; };
  const fail = (text) => { by("error").textContent = text; };

  class Told extends Error {
    constructor(body, status) { super(body.error || "the server failed"); this.kind = body.kind; this.status = status; }
  }

  async function call(path, body) {
    const options = body === undefined ? {} : {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)};
    const answer = await fetch(path, options);
    const found = await answer.json();
    if (!answer.ok) throw new Told(found, answer.status);
    return found;
  }

  /* Like call, but goes on trying while the server is away. */
  async function patient(path, body) {
    for (;;) {
      try {
        return await call(path, body);
      } catch (error) {
        if (error instanceof Told) throw error;
        say(`The server does not answer. ${waiting().length ? "What you saved waits in this browser. " : ""}Trying again …`);
        await new Promise((done) => setTimeout(done, RETRY));
      }
    }
  }

  /* What waits to be sent, and drafts, by key in the browser's own store. */
  const place = (kind, rest) => ["openaffect", kind, state.corpus.key, ...rest].join("|");
  const draftKey = (reviewer, queue, sample) => place("draft", [reviewer, queue, sample]);
  const keep = (key, value) => { localStorage.setItem(key, JSON.stringify(value)); };
  function kept(key) {
    try { return JSON.parse(localStorage.getItem(key)); } catch { return null; }
  }
  function waiting() {
    const prefix = place("edit", []) + "|";
    const keys = Array.from({length: localStorage.length}, (_, index) => localStorage.key(index));
    const edits = keys.filter((key) => key.startsWith(prefix)).map((key) => [key, kept(key)]);
    return edits.filter(([, edit]) => edit).sort((a, b) => a[1].at - b[1].at);
  }

  async function flush() {
    for (const [key, edit] of waiting()) {
      const {at, ...body} = edit;
      try {
        await patient("/api/save", body);
      } catch (error) {
        keep(draftKey(edit.reviewer, edit.queue, edit.sample), {...edit.judgement, at});
        fail(`Not saved: ${error.message}. What you entered is kept with the sample.`);
      }
      localStorage.removeItem(key);
    }
  }

  const words = (text) => text.split(",").map((word) => word.trim()).filter(Boolean);
  const chosen = () => document.querySelector("input[name=decision]:checked")?.value || "";
  const reasons = () => [...document.querySelectorAll("#reasons input:checked")].map((box) => box.value);

  function entered() {
    return {decision: chosen(), label: by("label").value || null, labels: words(by("labels").value), text: by("text").value, reasons: reasons(), note: by("note").value};
  }

  function judgement() {
    const found = entered(), sample = state.open.sample;
    if (!found.decision) throw new Error("Choose accept, edit or reject first");
    if (found.decision === "reject" && !found.reasons.length) throw new Error("Choose a reason to reject");
    if (found.decision === "accept") Object.assign(found, {label: sample.label, labels: sample.labels, text: null});
    if (found.decision === "reject") Object.assign(found, {text: null});
    if (found.decision !== "reject") found.reasons = [];
    if (found.text === (sample.text || "")) found.text = null;
    const same = found.label === sample.label && found.labels.join() === sample.labels.join() && found.text === null;
    if (found.decision === "edit" && same) throw new Error("Nothing is edited: accept it, or change the label, the words or the text");
    return found;
  }

  function fill(found) {
    const sample = state.open.sample;
    for (const radio of document.getElementsByName("decision")) radio.checked = radio.value === found.decision;
    by("label").value = found.label ?? "";
    by("labels").value = (found.labels || []).join(", ");
    by("text").value = found.text ?? sample.text ?? "";
    by("note").value = found.note || "";
    for (const box of document.querySelectorAll("#reasons input")) box.checked = (found.reasons || []).includes(box.value);
    fold();
  }

  function fold() {
    by("edits").hidden = chosen() !== "edit";
    by("reasons").hidden = chosen() !== "reject";
  }

  let draftTimer = 0;
  function remember() {
    if (!state.open) return;
    const {reviewer, queue} = state, sample = state.open.sample.id, draft = entered();
    keep(draftKey(reviewer, queue, sample), {...draft, at: Date.now() / 1000});
    clearTimeout(draftTimer);
    draftTimer = setTimeout(() => {
      call("/api/draft", {sample, reviewer, queue, draft}).catch(() => {});
    }, DRAFT_PAUSE);
  }

  function described(list, name, text) {
    if (!text) return;
    const term = document.createElement("dt"), told = document.createElement("dd");
    term.textContent = name;
    told.textContent = text;
    list.append(term, told);
  }

  function showClip(sample) {
    const stage = by("stage");
    stage.replaceChildren();
    const kind = sample.type.split("/")[0];
    const media = document.createElement(kind === "image" ? "img" : kind === "audio" ? "audio" : "video");
    media.id = "player";
    media.src = sample.media;
    if (kind === "image") media.alt = "The picture to review";
    else { media.controls = true; media.preload = "auto"; media.setAttribute("aria-label", "The clip to review"); }
    media.addEventListener("error", () => fail("The browser cannot play this clip: its format is unknown to it, or the file is gone."));
    stage.append(media);
    if (kind !== "audio") {
      const layer = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      layer.id = "boxes";
      layer.setAttribute("viewBox", "0 0 100 100");
      layer.setAttribute("preserveAspectRatio", "none");
      layer.setAttribute("aria-hidden", "true");
      stage.append(layer);
    }
    Timeline.load(kind === "image" ? null : media, sample.signals);
  }

  function showSample(found) {
    const sample = found.sample, told = by("told");
    by("sample").textContent = `Sample ${sample.place} of ${state.corpus.samples}: ${sample.id}`;
    showClip(sample);
    by("said").textContent = sample.subtitle ? `Said: “${sample.subtitle}”` : "Nothing is said, or it is not known what.";
    const missing = Object.entries(sample.missing).map(([stream, reason]) => `No ${stream}: ${reason}.`);
    by("missing").textContent = missing.join(" ");
    told.replaceChildren();
    described(told, "Expression perceived as", sample.label);
    described(told, "Open labels", sample.labels.join(", "));
    described(told, "Label that came with the clip", sample.given_label);
    for (const [stream, label] of Object.entries(sample.streams)) described(told, `${stream} alone`, label);
    described(told, sample.edited, sample.text);
    for (const text of sample.texts) described(told, `${text.kind} (by ${text.made_by})`, text.text);
    described(told, "Found by the checks", sample.notes.join("\n"));
    by("text-label").textContent = sample.edited ? `Description (${sample.edited})` : "Description";
    showOthers(found.others);
    const local = kept(draftKey(state.reviewer, state.queue, sample.id));
    const newest = [found.draft, local].filter(Boolean).sort((a, b) => b.at - a.at)[0];
    fill(newest || found.judgement || {decision: "", label: sample.label, labels: sample.labels});
    by("judgement-heading").textContent = state.queue === "review" ? "Your review" : "Settle it";
  }

  function showOthers(others) {
    by("others").hidden = !others;
    by("views").replaceChildren(...(others || []).map((view) => {
      const block = document.createElement("div"), list = document.createElement("dl"), take = document.createElement("button");
      described(list, view.reviewer, view.decision);
      described(list, "Label", view.label);
      described(list, "Open labels", view.labels.join(", "));
      described(list, "Text", view.text);
      described(list, "Reasons", [...view.reasons, view.note].filter(Boolean).join("; "));
      take.type = "button";
      take.textContent = `Take the view of ${view.reviewer}`;
      take.addEventListener("click", () => { fill(view); remember(); by("save").focus(); });
      block.append(list, take);
      return block;
    }));
  }

  function showProgress(progress) {
    by("progress").textContent = `${progress.mine} by you, ${progress.left} left for you, ${progress.complete} of ${progress.samples} complete, ${progress.disputes} in dispute, ${progress.settled} settled`;
    by("done").max = Math.max(progress.mine + progress.left, 1);
    by("done").value = progress.mine;
    by("rest").textContent = progress.disputes && state.queue === "review" ? `${progress.disputes} samples are in dispute: press d.` : "";
  }

  async function open(id, before = "") {
    state.open = await patient("/api/open", {id, reviewer: state.reviewer, queue: state.queue});
    by("work").hidden = false;
    by("end").hidden = true;
    showSample(state.open);
    by("sample").focus();
    const of = state.open.sample;
    say(`${before}Sample ${of.place} of ${state.corpus.samples}.`);
  }

  /* The next sample's id, or null; shows how far the work is. */
  async function next(after) {
    const where = new URLSearchParams({reviewer: state.reviewer, queue: state.queue});
    if (after) where.set("after", after);
    const found = await patient(`/api/next?${where}`);
    showProgress(found.progress);
    return found.sample;
  }

  async function advance(before = "") {
    const found = await next(state.open?.sample.id);
    if (found) { await open(found, before); return; }
    state.open = null;
    by("work").hidden = true;
    by("end").hidden = false;
    say(`${before}Nothing is left in this queue.`);
  }

  async function save() {
    const {sample, base} = state.open, id = crypto.randomUUID();
    const edit = {id, sample: sample.id, reviewer: state.reviewer, queue: state.queue, base, judgement: judgement(), at: Date.now() / 1000};
    clearTimeout(draftTimer);
    keep(place("edit", [id]), edit);
    localStorage.removeItem(draftKey(state.reviewer, state.queue, sample.id));
    await flush();
    await advance(by("error").textContent ? "" : "Saved. ");
  }

  async function undo() {
    const taken = await patient("/api/undo", {id: crypto.randomUUID(), reviewer: state.reviewer});
    setQueue(taken.queue);
    await next();
    await open(taken.sample, "Undone. ");
    if (taken.judgement) { fill(taken.judgement); remember(); }
  }

  function setQueue(queue) {
    state.queue = queue;
    by("turn").firstChild.textContent = queue === "review" ? "Disputes " : "Reviews ";
  }

  async function turn() {
    setQueue(state.queue === "review" ? "dispute" : "review");
    state.open = null;
    await advance(state.queue === "review" ? "Reviews. " : "Disputes. ");
  }

  const figure = (value) => value === null ? "–" : value.toFixed(2);
  async function showAgreement() {
    const found = await patient("/api/agreement");
    const table = document.createElement("table"), head = table.createTHead().insertRow();
    for (const name of ["Reviewers", "Samples", "Same decision", "Kappa of decisions", "Kappa of labels", "Overlap of open labels"]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = name;
      head.append(cell);
    }
    const body = table.createTBody();
    for (const pair of found.pairs) {
      const row = body.insertRow();
      for (const text of [pair.reviewers.join(", "), pair.samples, figure(pair.same_decision), figure(pair.decision_kappa), figure(pair.label_kappa), figure(pair.open_overlap)]) row.insertCell().textContent = text;
    }
    const all = document.createElement("p");
    all.textContent = found.reviewers_each ? `All with ${found.reviewers_each} reviews (${found.samples} samples): Fleiss' kappa ${figure(found.decision_kappa)} of decisions, ${figure(found.label_kappa)} of labels.` : "No sample has two reviews yet.";
    by("figures-body").replaceChildren(table, all);
    by("figures").showModal();
  }

  async function exportReviews() {
    const told = await patient("/api/export", {});
    say(`Exported: ${told.reviewed} of ${told.samples} samples reviewed, ${told.accepted} accepted, ${told.rejected} rejected, ${told.disputed} in dispute, ${told.unfinished} with too few reviews.`);
  }

  /* One thing at a time; what goes wrong is told. */
  let busy = false;
  async function act(work) {
    if (busy) return;
    busy = true;
    fail("");
    try { await work(); } catch (error) {
      fail(error.message);
    } finally { busy = false; }
  }

  const choose = (decision) => {
    for (const radio of document.getElementsByName("decision")) radio.checked = radio.value === decision;
    fold();
    remember();
  };
  const letters = {
    a: () => { choose("accept"); act(save); },
    e: () => { choose("edit"); by("label").focus(); },
    r: () => { choose("reject"); document.querySelector("#reasons input").focus(); },
    n: () => act(() => advance("Left for later. ")),
    " ": () => Timeline.toggle(),
  };
  const anywhere = {u: () => act(undo), d: () => act(turn), "?": () => by("keys").showModal()};

  function onKey(event) {
    if (!state.reviewer || document.querySelector("dialog[open]")) return;
    const target = event.target;
    const typing = target.matches("select, textarea, input:not([type=radio]):not([type=checkbox])");
    if (event.key === "Escape" && (typing || target.matches("input"))) { by("judgement").focus(); return; }
    if (event.key === "Enter" && event.ctrlKey) { event.preventDefault(); if (state.open) act(save); return; }
    if (typing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key.startsWith("Arrow") && state.open && !target.matches("input, #lanes") || (target.id === "lanes" && /Left|Right/.test(event.key))) {
      if (!/Left|Right/.test(event.key)) return;
      Timeline.step((event.key === "ArrowRight" ? 1 : -1) * (event.shiftKey ? 1 : 0.1));
      event.preventDefault();
      return;
    }
    if (!by("single").checked) return;
    if (event.key === " " && target.matches("button, input, video, audio, a")) return;
    if (/^[0-9]$/.test(event.key) && chosen() === "reject" && state.open) {
      const box = document.querySelectorAll("#reasons input")[(Number(event.key) + 9) % 10];
      if (box) { box.checked = !box.checked; remember(); event.preventDefault(); }
      return;
    }
    const work = anywhere[event.key] || (state.open ? letters[event.key] : undefined);
    if (!work) return;
    event.preventDefault();
    work();
  }

  async function start(reviewer) {
    const first = new URLSearchParams({reviewer, queue: "review"});
    await patient(`/api/next?${first}`);  // tells what is wrong with a name
    state.reviewer = reviewer;
    localStorage.setItem(place("reviewer", []), reviewer);
    by("who").hidden = true;
    by("intro").hidden = true;
    by("bar").hidden = false;
    await flush();
    await advance(`Hello ${reviewer}. `);
  }

  async function begin() {
    state.corpus = await patient("/api/corpus");
    by("corpus").textContent = state.corpus.name;
    document.title = `Review of ${state.corpus.name} · openaffect`;
    by("label").replaceChildren(new Option("no label", ""), ...state.corpus.labels.map((label) => new Option(label, label)));
    for (const [index, reason] of state.corpus.reasons.entries()) {
      const label = document.createElement("label"), box = document.createElement("input"), key = document.createElement("kbd");
      box.type = "checkbox";
      box.value = reason;
      key.textContent = (index + 1) % 10;
      label.append(box, ` ${reason} `, key);
      by("reasons").append(label);
    }
    by("reviewer").value = localStorage.getItem(place("reviewer", [])) || "";
    by("single").checked = localStorage.getItem("openaffect|single") !== "off";
    say("");
  }

  by("who").addEventListener("submit", (event) => { event.preventDefault(); act(() => start(by("reviewer").value.trim())); });
  by("judgement").addEventListener("submit", (event) => { event.preventDefault(); act(save); });
  by("judgement").addEventListener("input", () => { fold(); remember(); });
  by("skip").addEventListener("click", letters.n);
  by("undo").addEventListener("click", anywhere.u);
  by("turn").addEventListener("click", anywhere.d);
  by("help").addEventListener("click", anywhere["?"]);
  by("agree").addEventListener("click", () => act(showAgreement));
  by("export").addEventListener("click", () => act(exportReviews));
  by("single").addEventListener("change", () => localStorage.setItem("openaffect|single", by("single").checked ? "on" : "off"));
  document.addEventListener("keydown", onKey);
  act(begin);
})();
