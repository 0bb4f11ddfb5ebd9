// The page's own switches: light or dark, Ctrl+Enter draws, tabs and stages that the server need not know of.
(() => {
  const chosen = localStorage.getItem("posterkit-theme");
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const apply = (on) => {
    document.documentElement.classList.toggle("pk-dark", on);
    document.body?.classList.toggle("dark", on);
    const button = document.getElementById("pk-theme");
    if (button) { button.setAttribute("aria-pressed", on); button.textContent = on ? "Light" : "Dark"; }
  };
  document.documentElement.classList.toggle("pk-dark", dark);
  addEventListener("DOMContentLoaded", () => apply(dark));
  // Gradio sets its own class once it has loaded; ours holds
  new MutationObserver((_, me) => {
    if (document.getElementById("pk-theme")) { apply(document.documentElement.classList.contains("pk-dark")); me.disconnect(); }
  }).observe(document, { childList: true, subtree: true });
  addEventListener("click", (event) => {
    // on a telephone the form is below the stage
    if (event.target.id === "pk-draw" && innerWidth <= 820) document.getElementById("pk-stage").scrollIntoView();
    if (event.target.id !== "pk-theme") return;
    const on = !document.documentElement.classList.contains("pk-dark");
    localStorage.setItem("posterkit-theme", on ? "dark" : "light");
    apply(on);
  });
  // Gradio's text fields hear keys that write. They are told of what changes without one: deleting, pasting, undoing,
  // a telephone's keyboard
  let pressed = false;
  addEventListener("keypress", () => { pressed = true; setTimeout(() => { pressed = false; }); }, true);
  addEventListener("input", (event) => {
    if (pressed || !event.target.matches("textarea, input[type=text]")) return;
    event.target.dispatchEvent(new KeyboardEvent("keypress"));
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) document.querySelector("#pk-draw")?.click();
  });
})();
