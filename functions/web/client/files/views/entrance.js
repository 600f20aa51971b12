// Log in, or create an account.

import * as api from "../api.js";
import { fill, h, icon } from "../dom.js";
import { currentLanguage, explain, explainField, LANGUAGES, setLanguage, t } from "../i18n.js";
import { field } from "./parts.js";

/// `entered()` is called with a session; `again()` shows it anew, in another language.
export function entrance({ note, entered, again }) {
  let registers = false;
  const card = h("div", { class: "card" });
  const languages = h("p", { class: "languages" }, Object.entries(LANGUAGES).map(([tag, name]) =>
    h("button", {
      type: "button", class: "plain", lang: tag, "aria-pressed": String(tag === currentLanguage()),
      onclick: () => { setLanguage(tag); again(note); },
    }, name)));
  const element = h(
    "main", { class: "entrance" },
    h("header", {}, h("span", { class: "logo" }, icon("chat")), h("h1", {}, "Plaza"), h("p", {}, t("tagline"))),
    card, languages,
  );

  function draw() {
    const problem = h("p", { class: "problem", role: "alert" }, note ?? "");
    const email = registers && field(t("email"), { type: "email", name: "email", autocomplete: "email", required: true });
    const username = field(registers ? t("user_name") : t("login_name"),
      { name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true }, registers ? t("user_name_hint") : null);
    const displayName = registers && field(t("display_name_optional"), { name: "display_name", autocomplete: "name", maxlength: 50 });
    const password = field(t("password"),
      { type: "password", name: "password", autocomplete: registers ? "new-password" : "current-password", required: true },
      registers ? t("password_hint") : null);
    const fields = { email, username, display_name: displayName, password };
    const submit = h("button", { type: "submit", class: "primary" }, registers ? t("register") : t("log_in"));

    const onsubmit = async (event) => {
      event.preventDefault();
      if (submit.disabled) return;
      submit.disabled = true;
      problem.textContent = "";
      Object.values(fields).forEach((one) => one && one.refuse(null));
      try {
        if (registers) {
          await api.register({
            email: email.input.value.trim(), username: username.input.value.trim(), password: password.input.value,
            ...(displayName.input.value.trim() && { display_name: displayName.input.value.trim() }),
          });
        }
        await api.logIn(username.input.value.trim(), password.input.value);
        await entered();
      } catch (refusal) {
        tell(refusal);
      } finally {
        submit.disabled = false;
      }
    };

    function tell(refusal) {
      const named = Object.fromEntries((refusal.errors ?? []).map((error) => [error.field, explainField(error)]));
      if (refusal.code === "email_taken") named.email = explain(refusal);
      if (refusal.code === "username_taken") named.username = explain(refusal);
      for (const [name, one] of Object.entries(fields)) if (one && one.input.required && one.input.value.trim() === "") named[name] = t("invalid_missing");
      const wrong = Object.entries(fields).filter(([name, one]) => one && name in named);
      wrong.forEach(([name, one]) => one.refuse(named[name]));
      if (wrong.length > 0) wrong[0][1].input.focus();
      else problem.textContent = explain(refusal);
    }

    const turn = h("button", { type: "button", class: "plain link", onclick: () => { registers = !registers; note = null; draw(); } },
      registers ? t("log_in") : t("join"));
    fill(card,
      h("h2", {}, registers ? t("register") : t("log_in")),
      h("form", { onsubmit, novalidate: true }, problem,
        email && email.element, username.element, displayName && displayName.element, password.element, submit),
      h("p", { class: "turn" }, registers ? t("login_hint") : t("register_hint"), " ", turn));
    queueMicrotask(() => (email || username).input.focus());
  }

  draw();
  return { element };
}

/// While the server cannot be reached.
export const waitingRoom = (text) => ({ element: h("main", { class: "entrance" }, h("h1", {}, "Plaza"), h("p", { role: "status" }, text)) });
