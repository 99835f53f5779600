"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

  // The walk through z: each step shows a sample of its own, copied from the sheet of all of them.
  const walker = byId("walker");
  if (walker) {
    const sheet = byId("walk-sheet"), range = byId("walk-range"), play = byId("walk-play");
    const steps = Number(walker.dataset.steps), lines = Number(walker.dataset.lines);
    const width = Number(walker.dataset.width), height = Number(walker.dataset.height);
    const nearest = walker.dataset.nearest.split(" ");
    const distances = walker.dataset.distances.split(" ");
    const still = matchMedia("(prefers-reduced-motion: reduce)");
    const copy = (canvas, frame, column) => {
      canvas.getContext("2d").drawImage(
        sheet, column * width, frame * height, width, height, 0, 0, width, height);
    };
    const buttons = [...walker.querySelectorAll("button[data-frame]")];
    const show = () => {
      const frame = Number(range.value);
      const line = Math.floor(frame / steps), step = frame % steps;
      const next = (line + 1) % lines + 1;
      const where = step === 0 ? `point ${line + 1}`
        : `${step}/${steps} of the way from point ${line + 1} to ${next}`;
      const image = `number ${Number(nearest[frame]).toLocaleString("en")}, ` +
        `at distance ${distances[frame]}`;
      copy(byId("walk-sample"), frame, 0);
      copy(byId("walk-nearest"), frame, 1);
      byId("walk-sample").setAttribute("aria-label", `The sample at ${where}`);
      byId("walk-nearest").setAttribute("aria-label", `The training image ${image}`);
      byId("walk-image").textContent = image;
      byId("walk-says").textContent = where;
      byId("walk-here").setAttribute("d", `M${frame} 0V100`);
      range.setAttribute("aria-valuetext", `${where}; nearest training image ${image}`);
      buttons.forEach((button) => button.setAttribute(
        "aria-current", String(Number(button.dataset.frame) === line * steps)));
    };
    let timer = 0;
    const stop = () => {
      clearInterval(timer);
      timer = 0;
      play.textContent = "Play";
      play.setAttribute("aria-pressed", "false");
    };
    const start = () => {
      timer = setInterval(() => {
        range.value = String((Number(range.value) + 1) % (lines * steps));
        show();
      }, 90);
      play.textContent = "Pause";
      play.setAttribute("aria-pressed", "true");
    };
    range.addEventListener("input", () => { stop(); show(); });
    play.addEventListener("click", () => (timer ? stop() : start()));
    still.addEventListener("change", stop);
    buttons.forEach((button) => button.addEventListener("click", () => {
      stop();
      range.value = button.dataset.frame;
      show();
    }));
    sheet.decode().then(() => {
      buttons.forEach((button) =>
        copy(button.querySelector("canvas"), Number(button.dataset.frame), 0));
      show();
      byId("walk-off").hidden = true;
      walker.hidden = false;
    });
  }

  // The mark in the contents follows the section that is read.
  const links = new Map([...document.querySelectorAll("nav a")].map(
    (link) => [link.getAttribute("href").slice(1), link]));
  const sections = [...links.keys()].map(byId);
  const mark = () => {
    const line = innerHeight * 0.3;
    const passed = sections.filter((section) => section.getBoundingClientRect().top <= line);
    const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    const here = atEnd ? sections.at(-1) : passed.at(-1);
    for (const [id, link] of links) {
      const is = here !== undefined && id === here.id;
      if (is && !link.hasAttribute("aria-current")) {
        link.setAttribute("aria-current", "true");
        const list = link.closest("ol");
        list.scrollLeft = link.offsetLeft - list.clientWidth / 2 + link.offsetWidth / 2;
      } else if (!is) {
        link.removeAttribute("aria-current");
      }
    }
  };
  let asked = false;
  const later = () => {
    if (!asked) {
      asked = true;
      requestAnimationFrame(() => { asked = false; mark(); });
    }
  };
  addEventListener("scroll", later, { passive: true });
  addEventListener("resize", later, { passive: true });
  mark();

  // On paper nothing can be unfolded.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((part) => { part.open = false; }));
})();
