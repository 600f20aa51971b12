// The words of the page, in English and Korean: by the browser's language, or as chosen.

import en from "./words/en.js";
import ko from "./words/ko.js";

const STORED_AS = "plaza.language";
const WORDS = { en, ko };

export const LANGUAGES = { en: "English", ko: "한국어" };

let language = chosen() ?? preferred();
document.documentElement.lang = language;

function chosen() {
  const stored = localStorage.getItem(STORED_AS);
  return stored in WORDS ? stored : null;
}

function preferred() {
  const known = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in WORDS);
  return known ?? "en";
}

export const currentLanguage = () => language;

export function setLanguage(tag) {
  language = tag;
  localStorage.setItem(STORED_AS, tag);
  document.documentElement.lang = tag;
}

/// A text by its key, with `{name}` filled in. A number picks the form: a text may be `{ one, other }`.
export function t(key, values = {}) {
  const entry = WORDS[language][key] ?? key;
  const text = typeof entry === "string" ? entry : (entry[new Intl.PluralRules(language).select(values.count)] ?? entry.other);
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/// What to tell a person of a problem: its code's text, where there is one, else what the server says.
export function explain(problem) {
  if (problem.errors?.length > 0) return problem.errors.map(explainField).join(" ");
  const seconds = Math.ceil((problem.retryAfterMs ?? 0) / 1_000);
  if (problem.code === "rate_limited" && seconds > 0) return t("problem_rate_limited_for", { count: seconds });
  const key = `problem_${problem.code}`;
  return key in WORDS[language] ? t(key) : problem.message;
}

/// What to tell a person of a field that is not valid.
export function explainField({ code, detail }) {
  const key = `invalid_${code}`;
  // The bounds stand in the server's own words.
  const [least, most] = detail.match(/\d+/g) ?? [];
  return key in WORDS[language] ? t(key, { least, most }) : detail;
}

const formats = new Map();

function format(kind, options, date) {
  const key = `${language}:${kind}`;
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(language, options));
  return formats.get(key).format(date);
}

export const clockTime = (text) => format("time", { hour: "numeric", minute: "2-digit" }, new Date(text));

export const day = (text) => format("day", { weekday: "long", year: "numeric", month: "long", day: "numeric" }, new Date(text));

const long = { year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit" };

export const dayAndTime = (text) => format("long", long, new Date(text));

/// The time of today, the day of another.
export function shortTime(text) {
  const date = new Date(text);
  const today = date.toDateString() === new Date().toDateString();
  return today ? clockTime(text) : format("date", { month: "short", day: "numeric" }, date);
}
