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
    if (event.target.id !== "pk-theme") return;
    const on = !document.documentElement.classList.contains("pk-dark");
    localStorage.setItem("posterkit-theme", on ? "dark" : "light");
    apply(on);
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) document.querySelector("#pk-draw")?.click();
  });
})();
