// The own profile, what one is told of, how the page looks and speaks, and the way out.

import * as actions from "../actions.js";
import * as api from "../api.js";
import { fill, h, refill, toast } from "../dom.js";
import { currentLanguage, LANGUAGES, setLanguage, t } from "../i18n.js";
import { state } from "../state.js";
import { currentTheme, setTheme, THEMES } from "../theme.js";
import { deletion, exporting, password, sessions } from "./account.js";
import { actionButton, attempt, avatar, choice, field, form, toggle } from "./parts.js";

export function settings({ again, left }) {
  const heading = h("h2", { tabindex: "-1" }, t("settings"));
  const picture = h("div", { class: "picture" });
  const file = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp", class: "unseen", tabindex: "-1", "aria-label": t("change_image"), onchange: onFile });
  const kinds = h("div", { class: "toggles", role: "group", "aria-label": t("notify_me") });
  const themes = Object.fromEntries(THEMES.map((theme) => [theme, t(`theme_${theme}`)]));
  const devices = sessions();
  const element = h("div", { class: "page" }, h("header", {}, heading),
    section("account", picture, file, profile()),
    section("notifications", kinds),
    section("appearance",
      choice(t("theme"), themes, currentTheme(), setTheme),
      choice(t("language"), LANGUAGES, currentLanguage(), (tag) => { setLanguage(tag); again(); })),
    section("password", password(() => devices.load())),
    section("sessions", devices.element,
      h("div", { class: "buttons" }, actionButton(t("log_out"), () => leave(false)), actionButton(t("log_out_everywhere"), () => leave(true), { class: "plain" }))),
    section("your_data", h("p", { class: "hint" }, t("your_data_hint")), exporting()),
    section("delete_account", h("p", { class: "hint" }, t("delete_account_hint")),
      h("div", { class: "buttons" }, h("button", { type: "button", class: "danger", onclick: () => deletion(() => left(t("account_deleted"))) }, t("delete_account")))));
  let shown = [];

  function update() {
    const now = [state.me.profile_image_url, state.me.display_name, state.preferences];
    if (now[0] !== shown[0] || now[1] !== shown[1]) drawPicture();
    if (now[2] && now[2] !== shown[2]) drawKinds();
    shown = now;
  }

  function drawPicture() {
    fill(picture, avatar(state.me, { size: "large" }),
      h("div", {}, h("p", {}, h("b", {}, `@${state.me.username}`), h("small", {}, state.me.email)),
        h("div", { class: "buttons" },
          h("button", { type: "button", onclick: () => file.click() }, t("change_image")),
          state.me.profile_image_url && actionButton(t("remove_image"), () => actions.saveImage(null), { class: "plain" })),
        h("p", { class: "hint" }, t("image_hint"))));
  }

  /// Everybody is welcomed once: that is nothing to choose any more.
  function drawKinds() {
    const wanted = Object.entries(state.preferences.kinds).filter(([kind]) => kind !== "welcome");
    refill(kinds, wanted.map(([kind, isWanted]) => toggle(t(`want_${kind}`), isWanted, (now) => actions.wantKind(kind, now), kind)));
  }

  function profile() {
    const fields = { display_name: field(t("display_name"), { value: state.me.display_name, maxlength: 50, required: true, autocomplete: "name" }) };
    const button = h("button", { type: "submit", class: "primary" }, t("save"));
    return form({ fields, button, async send({ display_name }) {
      await actions.saveName(display_name.trim());
      toast(t("saved"));
    } });
  }

  async function onFile() {
    const [chosen] = file.files;
    if (chosen && (await attempt(() => actions.saveImage(chosen)))) toast(t("saved"));
    file.value = "";
  }

  async function leave(all) {
    try {
      await api.logOut(all);
    } finally {
      actions.end();
      left();
    }
  }

  return { element, update, focus: () => heading.focus() };
}

const section = (title, ...content) => h("section", { "aria-label": t(title) }, h("h3", {}, t(title)), content);
