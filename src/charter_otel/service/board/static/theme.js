// Dark, light, or as the system has it. The choice is kept in this browser.

const KEY = "charter-board-theme";
const ORDER = ["system", "dark", "light"];
const SIGNS = { system: "◐", dark: "●", light: "○" };

/** Apply the kept theme, and change it with the button. */
export function setUp(button) {
  let theme = ORDER.includes(kept()) ? kept() : "system";
  const apply = () => {
    document.documentElement.dataset.theme = theme;
    button.textContent = SIGNS[theme];
    button.setAttribute("aria-label", `Theme: ${theme === "system" ? "as the system has it" : theme}`);
    button.title = button.getAttribute("aria-label");
  };
  button.addEventListener("click", () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // A browser that keeps nothing still shows it.
    }
    apply();
  });
  apply();
}

function kept() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
