"use strict";
// Everything here is a convenience: the page reads and prints the same without it.
addEventListener("load", () => {
  const broken = [...document.images].filter((img) => !img.complete || img.naturalWidth === 0);
  document.documentElement.dataset.images = document.images.length;
  document.documentElement.dataset.broken = broken.length;
});

for (const button of document.querySelectorAll(".code button")) {
  const code = button.parentElement.querySelector("code");
  button.hidden = false;
  button.addEventListener("click", () => {
    const range = document.createRange();
    range.selectNodeContents(code);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    // The clipboard interface is missing on some browsers for files on disk; the selection then stays for Ctrl+C.
    const done = () => { button.textContent = "Copied"; };
    const selected = () => { button.textContent = "Selected: press Ctrl+C"; };
    navigator.clipboard ? navigator.clipboard.writeText(code.textContent).then(done, selected) : selected();
    setTimeout(() => { button.textContent = "Copy"; }, 2500);
  });
}

const dialog = document.querySelector("dialog");
const stage = dialog.querySelector("div");
for (const frame of document.querySelectorAll("[data-zoom]")) {
  frame.tabIndex = 0;
  frame.setAttribute("role", "button");
  frame.setAttribute("aria-label", "Enlarge: " + [...frame.querySelectorAll("img")].map((img) => img.alt).join(""));
  const open = () => {
    const copy = frame.cloneNode(true);
    copy.removeAttribute("role");
    copy.removeAttribute("tabindex");
    const bare = frame.closest("figure").querySelector("input:not(:checked)");
    if (bare) copy.querySelector(".drawn").style.opacity = 0;
    stage.replaceChildren(copy);
    dialog.showModal();
  };
  frame.addEventListener("click", open);
  frame.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); }
  });
}
dialog.addEventListener("click", () => dialog.close());

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const value = (row, i) => row.cells[i].textContent.trim();
  const number = (text) => text === "–" ? -Infinity : Number(text.replaceAll(",", ""));
  [...table.tHead.rows[0].cells].forEach((head, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const numeric = head.classList.contains("n");
      const order = (a, b) => numeric ? number(value(a, i)) - number(value(b, i)) : value(a, i).localeCompare(value(b, i), undefined, { numeric: true });
      body.append(...[...body.rows].sort((a, b) => down ? order(b, a) : order(a, b)));
    });
  });
}

const links = new Map([...document.querySelectorAll("nav a:not(.brand)")].map((a) => [a.hash.slice(1), a]));
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    links.forEach((a) => a.removeAttribute("aria-current"));
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-15% 0px -75% 0px" });
document.querySelectorAll("section[id]").forEach((section) => seen.observe(section));
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
