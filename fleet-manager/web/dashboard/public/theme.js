// Before the first paint, so that a chosen theme does not flash the other one. Not a module: those wait.
(function () {
  try {
    var theme = localStorage.getItem('nodi.theme');
    if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
  } catch (_) {
    // Storage is switched off: the system's preference holds.
  }
})();
