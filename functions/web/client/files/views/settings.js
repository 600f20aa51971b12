// The own profile, how the page looks and speaks, and the way out.

import * as actions from "../actions.js";
import * as api from "../api.js";
import { fill, h, toast } from "../dom.js";
import { currentLanguage, LANGUAGES, setLanguage, t } from "../i18n.js";
import { state } from "../state.js";
import { currentTheme, setTheme, THEMES } from "../theme.js";
import { actionButton, attempt, avatar, choice, field } from "./parts.js";

export function settings({ again, left }) {
  const heading = h("h2", { tabindex: "-1" }, t("settings"));
  const picture = h("div", { class: "picture" });
  const name = field(t("display_name"), { value: state.me.display_name, maxlength: 50, required: true, autocomplete: "name" });
  const save = h("button", { type: "submit", class: "primary" }, t("save"));
  const profile = h("form", { onsubmit: onSave }, name.element, save);
  const file = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp", class: "unseen", tabindex: "-1", "aria-label": t("change_image"), onchange: onFile });
  const themes = Object.fromEntries(THEMES.map((theme) => [theme, t(`theme_${theme}`)]));
  const element = h("div", { class: "page" }, h("header", {}, heading),
    h("section", { "aria-label": t("account") }, h("h3", {}, t("account")), picture, file, profile),
    h("section", { "aria-label": t("appearance") }, h("h3", {}, t("appearance")),
      choice(t("theme"), themes, currentTheme(), setTheme),
      choice(t("language"), LANGUAGES, currentLanguage(), (tag) => { setLanguage(tag); again(); })),
    h("section", {}, h("div", { class: "buttons" },
      actionButton(t("log_out"), () => leave(false)), actionButton(t("log_out_everywhere"), () => leave(true), { class: "plain" }))));
  let shownImage;

  function update() {
    const image = state.me.profile_image_url;
    if (image === shownImage) return;
    shownImage = image;
    fill(picture, avatar(state.me, { size: "large" }),
      h("div", {}, h("p", {}, h("b", {}, `@${state.me.username}`), h("small", {}, state.me.email)),
        h("div", { class: "buttons" },
          h("button", { type: "button", onclick: () => file.click() }, t("change_image")),
          image && actionButton(t("remove_image"), () => actions.saveImage(null), { class: "plain" })),
        h("p", { class: "hint" }, t("image_hint"))));
  }

  function onSave(event) {
    event.preventDefault();
    const text = name.input.value.trim();
    if (text === "") return;
    attempt(async () => {
      await actions.saveName(text);
      toast(t("saved"));
    }, save);
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
