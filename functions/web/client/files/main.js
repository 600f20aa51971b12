// Where the page begins: who is here, and which view the address asks for.

import * as actions from "./actions.js";
import * as api from "./api.js";
import { fill } from "./dom.js";
import { t } from "./i18n.js";
import { changed, state, subscribe } from "./state.js";
import { entrance, waitingRoom } from "./views/entrance.js";
import { shell } from "./views/shell.js";

const ENTER_AGAIN_MS = 2_000;

const app = document.getElementById("app");
/// What is shown: `{ element, update?(), route?() }`.
let view = null;

function show(next) {
  view = next;
  fill(app, view.element);
  view.route?.();
  view.update?.();
}

function showEntrance(note) {
  document.title = "Plaza";
  show(entrance({ note, entered: enter, again: showEntrance }));
}

/// Goes in with the session that there is. While the server cannot be reached, it waits: the session is not lost.
async function enter() {
  for (;;) {
    try {
      await actions.begin();
      showShell();
      return;
    } catch (problem) {
      if (problem.status === 401) return;
      if (!problem.passing) throw problem;
      show(waitingRoom(t("waiting")));
      await new Promise((done) => setTimeout(done, ENTER_AGAIN_MS));
    }
  }
}

/// Everything, in the language that is chosen now.
function showShell() {
  show(shell({ again: showShell, left: showEntrance }));
}

api.whenEnded(() => {
  actions.end();
  showEntrance(t("logged_out"));
});
api.whenLimited((limited) => {
  state.limited = limited;
  // Nothing is shown yet that could say so.
  if (limited && !state.me) show(waitingRoom(t("limited")));
  changed();
});
subscribe(() => state.me && view?.update?.());
window.addEventListener("hashchange", () => view?.route?.());
window.addEventListener("online", actions.hurry);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  actions.hurry();
  if (state.me) view?.update?.();
});

if (await api.resume()) await enter();
else showEntrance();
