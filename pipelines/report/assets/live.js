"use strict";
// Served by `calls dashboard`: when another night is published, the page is loaded again, with what is chosen.
setInterval(async () => {
  try {
    const answer = await fetch("night", { cache: "no-store" });
    const night = await answer.text();
    if (answer.ok && night && night !== document.body.dataset.night) location.reload();
  } catch { /* the server has ended, or is starting: ask again */ }
}, 3000);
