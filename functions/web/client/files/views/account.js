// What belongs to the account: its password, its sessions, its data, its end.

import * as actions from "../actions.js";
import { announce, dialog, h, keyed, setText, toast } from "../dom.js";
import { currentLanguage, shortTime, t } from "../i18n.js";
import { state } from "../state.js";
import { actionButton, attempt, confirmed, field, form, whose } from "./parts.js";

/// How long the browser may take to begin with a download.
const DOWNLOAD_MS = 60_000;

const BROWSERS = { "Edg/": "Edge", "OPR/": "Opera", "SamsungBrowser/": "Samsung Internet", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari" };
const SYSTEMS = { Android: "Android", iPhone: "iPhone", iPad: "iPad", Windows: "Windows", "Mac OS": "macOS", CrOS: "ChromeOS", Linux: "Linux" };

/// `changed()` is called when all other sessions have ended.
export function password(changed) {
  const fields = {
    current_password: field(t("current_password"), { type: "password", autocomplete: "current-password", required: true }),
    new_password: field(t("new_password"), { type: "password", autocomplete: "new-password", required: true }, t("password_hint")),
  };
  const button = h("button", { type: "submit" }, t("change_password"));
  return form({ fields, button, codes: { wrong_password: "current_password" }, before: whose(state.me.username),
    async send({ current_password, new_password }) {
      await actions.changePassword(current_password, new_password);
      for (const one of Object.values(fields)) one.input.value = "";
      toast(t("password_changed"));
      changed();
    } });
}

/// Where one is logged in.
export function sessions() {
  const list = h("ul", { class: "people", "aria-label": t("sessions") });

  async function load() {
    const known = await actions.sessions();
    // The own one first.
    known.sort((a, b) => Number(b.current) - Number(a.current));
    keyed(list, known.map((session) => ({ key: session.id, parts: [session.last_used_at, currentLanguage()], session })), ({ session }) => row(session));
  }

  const row = (session) => h("li", { class: "person" },
    h("span", { class: "who" }, h("b", { title: session.device ?? "" }, nameOfDevice(session.device)),
      h("small", {}, session.current ? t("this_device") : t("last_used", { time: shortTime(session.last_used_at) }))),
    !session.current && actionButton(t("end_session"), async () => {
      if (!(await confirmed(t("confirm_end_session", { device: nameOfDevice(session.device) }), t("end_session")))) return;
      await actions.endSession(session.id);
      await load();
    }, { "aria-label": `${t("end_session")}: ${nameOfDevice(session.device)}` }));

  attempt(load);
  return { element: list, load: () => attempt(load) };
}

/// A browser and a system, out of a `User-Agent`; or what it begins with.
function nameOfDevice(agent) {
  const known = [BROWSERS, SYSTEMS].map((names) => Object.entries(names).find(([sign]) => agent?.includes(sign))?.[1]).filter(Boolean);
  return known.join(" · ") || agent?.split(/[ /]/)[0] || t("unknown_device");
}

/// Everything that is kept of the caller, as a file.
export function exporting() {
  const progress = h("p", { class: "hint", role: "status" });
  const button = actionButton(t("download_data"), async () => {
    try {
      const blob = await actions.exportData((count) => setText(progress, t("collecting", { count })));
      save(blob, `plaza-${state.me.username}-${new Date().toISOString().slice(0, 10)}.json`);
    } finally {
      setText(progress, "");
    }
    announce(t("saved"));
  });
  return h("div", { class: "buttons" }, button, progress);
}

/// Gives something to the browser to keep.
function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), DOWNLOAD_MS);
}

/// Asks for the password, and deletes the account; `done()` is called when it is gone.
export function deletion(done) {
  const fields = { password: field(t("password"), { type: "password", autocomplete: "current-password", required: true }) };
  const button = h("button", { type: "submit", class: "danger" }, t("delete_account"));
  const content = form({ fields, button, codes: { wrong_password: "password" }, before: [h("p", {}, t("delete_account_hint")), whose(state.me.username)],
    async send(values) {
      await actions.deleteAccount(values.password);
      box.close();
      done();
    } });
  content.classList.add("dialog-body");
  const box = dialog(t("delete_account"), t("close"), content);
}
