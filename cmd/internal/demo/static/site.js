// The site works without this. With it, an open page says at once when its
// session has ended, the page "what happened" follows along, and the time left
// counts down.
"use strict";
(() => {
  const session = document.body.dataset.session;
  const banner = document.querySelector(".banner");
  let leaving = false; // this page is on its way to another: what ends now is no surprise

  addEventListener("submit", () => { leaving = true; });
  addEventListener("pagehide", () => { leaving = true; });
  addEventListener("pageshow", () => { leaving = false; });

  const reasons = {
    "sign-out": "You signed out in another tab.",
    "replaced": "Your session got a new ticket in another tab.",
    "idle": "This session ended because it was not used.",
    "absolute": "This session ended because its time was up.",
    "ended by another": "This session was ended, in another tab or from elsewhere.",
    "evicted": "This session was ended because there were too many.",
    "reuse": "This session was ended because an old ticket of it turned up.",
  };

  function ended(reason) {
    if (leaving || !banner.hidden) return;
    const onward = document.createElement("a");
    onward.href = location.href;
    onward.textContent = "Continue";
    banner.replaceChildren((reasons[reason] || "This session was ended.") + " ", onward);
    banner.hidden = false;
  }

  let reloading = false;
  async function follow() {
    const watched = document.querySelector("[data-watch]");
    if (!watched || reloading || new URLSearchParams(location.search).has("n")) return;
    reloading = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("[data-watch]");
      if (fresh && page.body.dataset.session === session) {
        const open = watched.querySelector("details").open;
        fresh.querySelector("details").open = open;
        watched.replaceWith(fresh);
      }
    } catch {
      // The next event, or a reload, shows it.
    } finally {
      reloading = false;
    }
  }

  // A browser opens six connections to a host over HTTP/1.1 and no more, so of
  // all tabs with this session one holds the stream and tells the others.
  const tabs = "BroadcastChannel" in window ? new BroadcastChannel("coatcheck") : null;
  let over = false;

  function hear(message) {
    if (message.session !== session) return;
    if (message.kind === "news") follow();
    if (message.kind === "ended") {
      over = true;
      ended(message.reason);
    }
  }

  function tell(kind, reason) {
    const message = { kind, reason, session };
    if (tabs) tabs.postMessage(message);
    hear(message);
  }

  // hold listens until the session is over, or for a while after the server
  // gave no stream: then it is in trouble, which says nothing of the session.
  const hold = () => new Promise((done) => {
    if (over) {
      done();
      return;
    }
    const stream = new EventSource(document.body.dataset.live);
    const finish = (reason) => {
      stream.close();
      tell("ended", reason);
      done();
    };
    // The stream is that of the cookie, which may not be this page's any more;
    // and what happened before it began to listen, a page has to ask for.
    stream.addEventListener("hello", (event) => {
      if (event.data === session) tell("news");
      else finish("replaced");
    });
    stream.addEventListener("news", () => tell("news"));
    stream.addEventListener("ended", (event) => finish(event.data));
    stream.onerror = () => {
      if (stream.readyState === EventSource.CLOSED) setTimeout(done, 5000);
    };
  });

  async function listen() {
    if (tabs) tabs.onmessage = (event) => hear(event.data);
    while (!over) {
      if (navigator.locks && tabs) await navigator.locks.request("coatcheck " + session, hold);
      else await hold();
    }
  }

  function countDown(element) {
    const left = Math.max(0, Math.round((Date.parse(element.dataset.until) - Date.now()) / 1000));
    const words = left > 172800 ? Math.round(left / 86400) + " days" : left > 5400 ? Math.round(left / 3600) + " hours" : left > 90 ? Math.round(left / 60) + " minutes" : left + " seconds";
    element.textContent = "(in " + words + ") ";
  }

  if (session) listen();
  for (const element of document.querySelectorAll("[data-until]")) {
    countDown(element);
    setInterval(countDown, 1000, element);
  }
})();
