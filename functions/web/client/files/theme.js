// Light or dark: as the system, or as chosen. The style sheet does the rest (`color-scheme` and `light-dark()`).

const STORED_AS = "plaza.theme";

export const THEMES = ["system", "light", "dark"];

export const currentTheme = () => document.documentElement.dataset.theme ?? "system";

export function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem(STORED_AS, theme);
}
