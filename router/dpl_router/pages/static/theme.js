// Before the first paint, or a remembered theme would flash. Blocked storage: the system's theme.
(() => {
  document.documentElement.dataset.js = "";
  let kept = null;
  try {
    kept = localStorage.getItem("dpl-theme");
  } catch {}
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
