// Before anything is drawn, so that the page does not begin in the wrong colours. All else is in modules, which wait.
try {
  document.documentElement.dataset.theme = localStorage.getItem("plaza.theme") ?? "system";
} catch {
  // Storage is switched off: the system's colours.
}
