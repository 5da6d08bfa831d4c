"use strict";
(() => {
  const player = document.querySelector("video, audio");
  const lanes = document.querySelector(".lanes");
  const mark = document.querySelector(".head i");
  const start = lanes ? Number(lanes.dataset.start) : 0;
  const end = lanes ? Number(lanes.dataset.end) : 0;
  let now = start;

  function show(seconds) {
    now = Math.min(Math.max(seconds, start), end);
    if (!lanes) return;
    mark.style.left = 100 * (now - start) / (end - start) + "%";
    lanes.setAttribute("aria-valuenow", now.toFixed(2));
    lanes.setAttribute("aria-valuetext", now.toFixed(1) + " seconds");
  }

  function seek(seconds) {
    show(seconds);
    if (player) player.currentTime = lanes ? now : seconds;
  }

  if (lanes) {
    const plot = document.querySelector(".head");
    const toTime = (event) => {
      const box = plot.getBoundingClientRect();
      return start + (end - start) * (event.clientX - box.left) / box.width;
    };
    let press = null;  // one that moves up or down may become a scroll of the page, which cancels it
    const sideways = (event) => Math.abs(event.clientX - press.clientX) > Math.abs(event.clientY - press.clientY);
    lanes.addEventListener("pointerdown", (event) => { press = event.button === 0 ? event : null; });
    lanes.addEventListener("pointermove", (event) => { if (press && sideways(event)) seek(toTime(event)); });
    window.addEventListener("pointerup", (event) => { if (press) seek(toTime(event)); press = null; });
    window.addEventListener("pointercancel", () => { press = null; });
    lanes.addEventListener("keydown", (event) => {
      const steps = {ArrowRight: 0.1, ArrowUp: 0.1, ArrowLeft: -0.1, ArrowDown: -0.1, PageUp: 1, PageDown: -1};
      if (event.key in steps) seek(now + steps[event.key] * (event.shiftKey ? 10 : 1));
      else if (event.key === "Home") seek(start);
      else if (event.key === "End") seek(end);
      else if (event.key === " " && player) player.paused ? player.play() : player.pause();
      else return;
      event.preventDefault();
    });
    show(start);
  }

  if (player) {
    const follow = () => {
      show(player.currentTime);
      if (!player.paused) requestAnimationFrame(follow);
    };
    player.addEventListener("play", follow);
    player.addEventListener("timeupdate", () => show(player.currentTime));
    player.addEventListener("loadedmetadata", () => { if (start > 0) player.currentTime = start; });
    player.addEventListener("error", () => { document.querySelector(".unplayable").hidden = false; }, true);
    if (player.error) document.querySelector(".unplayable").hidden = false;
  }

  for (const button of document.querySelectorAll("button[data-seek]")) {
    button.addEventListener("click", () => {
      seek(Number(button.dataset.seek));
      if (player) player.play();
    });
  }
})();
