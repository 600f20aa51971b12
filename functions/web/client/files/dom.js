// The page, without a framework: elements made by a call, and lists that keep the nodes of what did not change.
//
// Text only ever becomes a text node. Nothing here takes markup, and the Content-Security-Policy (trusted types) would
// refuse it: what others write cannot become part of the page.

import { newKey } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";

/// An element: `h("button", { class: "plain", onclick: send }, "Send")`. Attributes that are null or false are left out.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/// Puts these in place of what an element has.
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/// The same, and the focus stays: it goes to the new element with the same `data-focus`.
export function refill(element, ...children) {
  const focus = element.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  fill(element, children);
  if (focus !== undefined) element.querySelector(`[data-focus="${focus}"]`)?.focus({ preventScroll: true });
}

/// Sets text, where it is another.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/// Makes the children of `parent` show `rows`, each `{ key, parts }`, in order. A row whose parts are the same keeps its node
/// (and with it focus, selection and scroll position); any other is made anew by `make(row)`. Focus inside a node that is made
/// anew goes to the element with the same `data-focus` in the new one.
export function keyed(parent, rows, make) {
  const old = parent.rows ?? new Map();
  const now = new Map();
  let place = parent.firstChild;
  for (const row of rows) {
    // A key names one node; a second row with it would leave a node behind that nothing knows.
    if (now.has(row.key)) continue;
    let entry = old.get(row.key);
    const same = entry && entry.parts.length === row.parts.length && row.parts.every((part, i) => Object.is(part, entry.parts[i]));
    if (!same) {
      const node = make(row);
      if (entry) {
        const focus = entry.node.contains(document.activeElement) ? (document.activeElement.dataset.focus ?? "") : null;
        if (place === entry.node) place = node;
        entry.node.replaceWith(node);
        if (focus !== null) (node.querySelector(`[data-focus="${focus}"]`) ?? node).focus({ preventScroll: true });
      }
      entry = { node, parts: row.parts };
    }
    if (entry.node === place) place = place.nextSibling;
    else parent.insertBefore(entry.node, place);
    now.set(row.key, entry);
  }
  for (const [key, entry] of old) {
    if (!now.has(key)) entry.node.remove();
  }
  parent.rows = now;
}

const SHAPES = {
  back: "M15 5l-7 7 7 7",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15zM10 20.5a2.2 2.2 0 0 0 4 0",
  block: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM6 6l12 12",
  chat: "M6 4.5h12a2.5 2.5 0 0 1 2.5 2.5v7a2.5 2.5 0 0 1-2.5 2.5h-5.5L8 20v-3.5H6A2.5 2.5 0 0 1 3.5 14V7A2.5 2.5 0 0 1 6 4.5z",
  check: "M5 12.5l4.5 4.5L19 7",
  close: "M6 6l12 12M18 6L6 18",
  down: "M12 5v14M6 13l6 6 6-6",
  edit: "M4.5 19.5l1-4L16 5l3 3L8.5 18.5zM14 7l3 3",
  info: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 11v5.5M12 7.6v.2",
  mute: "M6.5 17.5V11a5.5 5.5 0 0 1 8.8-4.4M17.5 10.5V16l1.5 1.5H8M10 20.5a2.2 2.2 0 0 0 4 0M4 4l16 16",
  people: "M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 19.5c.4-3.4 3-5.5 6.5-5.5s6.1 2.1 6.5 5.5M15.5 4.8a3.5 3.5 0 0 1 0 6.4M17.5 14.3c2.2.7 3.6 2.6 4 5.2",
  plus: "M12 5v14M5 12h14",
  reply: "M9 6L4 11l5 5M4.5 11H13a6.5 6.5 0 0 1 6.5 6.5V19",
  retry: "M19 12a7 7 0 1 1-2.3-5.2M19.5 3.5v4.5H15",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20.5 20.5",
  send: "M4 12L20 4.5 15.5 20l-4-6.5zM11.5 13.5L20 4.5",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.7a2.3 2.3 0 1 0 0 4.6 2.3 2.3 0 0 0 0-4.6zM9 14.7a2.3 2.3 0 1 0 0 4.6 2.3 2.3 0 0 0 0-4.6z",
  smile: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM8.5 14a4.2 4.2 0 0 0 7 0M9 9.5v.3M15 9.5v.3",
  trash: "M4.5 7h15M9 7V4.5h6V7M6.5 7l.8 12.5h9.4L17.5 7M10.3 10.5v5.5M13.7 10.5v5.5",
};

/// An icon. It says nothing to a screen reader: the control that it is in has a name.
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

/// A button that shows only an icon.
export function iconButton(name, label, onclick, attributes = {}) {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...attributes }, icon(name));
}

/// Says something to screen readers, without showing it.
export function announce(text) {
  const announcer = document.getElementById("announcer");
  announcer.append(h("p", {}, text));
  while (announcer.childElementCount > 5) announcer.firstChild.remove();
}

const TOAST_MS = 6_000;

/// Shows a short message for some seconds.
export function toast(text) {
  const note = h("p", { class: "toast" }, text);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), TOAST_MS);
}

/// Opens a modal dialog with this content; `closed` is called when it is gone. The browser keeps focus inside, closes it on Escape
/// and gives focus back.
export function dialog(title, closeLabel, content, closed = () => {}) {
  const heading = h("h2", { id: `dialog-${newKey()}` }, title);
  const element = h(
    "dialog",
    { "aria-labelledby": heading.id },
    h("header", {}, heading, iconButton("close", closeLabel, () => element.close())),
    content,
  );
  element.addEventListener("close", () => {
    element.remove();
    closed();
  });
  // A click on the backdrop is a click on the dialog itself.
  element.addEventListener("click", (event) => event.target === element && element.close());
  document.body.append(element);
  element.showModal();
  return element;
}
