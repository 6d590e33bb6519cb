"use strict";
// Only in the page of `calls dashboard`: reload it when another night is published. The address keeps the choice.
setInterval(async () => {
  try {
    const response = await fetch("night", { cache: "no-store" });
    const night = await response.text();
    if (response.ok && night && night !== document.body.dataset.night) location.reload();
  } catch { /* the server has stopped or is starting: ask again later */ }
}, 3000);
