// Before anything is drawn, so that the page does not begin in the wrong colours. All else is in modules, which wait.
try {
  document.documentElement.dataset.theme = localStorage.getItem("plaza.theme") ?? "system";
} catch {
  // Storage is switched off: the system's colours.
}

// A file of the page did not come: too many from one address asked for theirs, or the server is being replaced. Once more in a while;
// those that came are kept by the browser.
const AGAIN_MS = 5_000;

function comeAgain() {
  fetch("/", { method: "HEAD", cache: "no-store" }).then((answer) => (answer.ok ? location.reload() : later()), later);
}

const later = () => setTimeout(comeAgain, AGAIN_MS * (1 + Math.random() / 2));

let isLate = false;
addEventListener("error", ({ target }) => {
  if (isLate || !["SCRIPT", "LINK"].includes(target.tagName)) return;
  isLate = true;
  later();
}, true);
