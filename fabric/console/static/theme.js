// Before anything is drawn: the theme that the reader chose, else the system's.
(() => {
  const chosen = localStorage.getItem("fabric-theme");
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
