// What the pages do in the browser beside staying up to date: theme, times of the reader's zone, keys, kept focus.
(() => {
  const root = document.documentElement;
  const applyTheme = () => {
    if (window.Quasar) Quasar.Dark.set(root.dataset.theme === "dark");
  };

  const localTime = (node) => {
    const then = new Date(Number(node.dataset.at) * 1000);
    const sameDay = then.toDateString() === new Date().toDateString();
    const text = sameDay
      ? then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" })
      : then.toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    if (node.textContent !== text) {
      if (!node.title) node.title = node.textContent;
      node.textContent = text;
    }
  };
  const localTimes = () => document.querySelectorAll("time[data-at]").forEach(localTime);

  // A part that is drawn anew takes the focus with it; give it back to what has the same id.
  let focused = null;
  document.addEventListener("focusin", (event) => { focused = event.target.id || null; });
  document.addEventListener("pointerdown", () => { focused = null; });
  const keepFocus = () => {
    if (focused && document.activeElement === document.body) {
      document.getElementById(focused)?.focus({ preventScroll: true });
    }
  };

  let planned = false;
  new MutationObserver(() => {
    if (planned) return;
    planned = true;
    requestAnimationFrame(() => { planned = false; localTimes(); keepFocus(); });
  }).observe(root, { childList: true, subtree: true });

  document.addEventListener("click", (event) => {
    if (event.target.closest("#theme")) {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      localStorage.setItem("fabric-theme", root.dataset.theme);
      applyTheme();
    }
  });

  let goes = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, [contenteditable]")) return;
    if (event.key === "/") {
      const find = document.getElementById("find");
      if (find) { event.preventDefault(); find.focus(); }
    } else if (goes) {
      document.querySelector(`header nav a[data-key="${CSS.escape(event.key)}"]`)?.click();
    }
    goes = event.key === "g";
  });

  addEventListener("load", () => { applyTheme(); localTimes(); });
})();
