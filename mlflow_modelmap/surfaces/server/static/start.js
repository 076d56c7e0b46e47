"use strict";
// What a run's page waits for is asked for at once, while the page's own files are still on their way.
const Start = (function () {
  const files = document.currentScript.src;
  const asked = new Map();
  let library = null;

  // The drawing library, once a page needs it: 4.5 MB, kept by the browser.
  function plotly() {
    if (!library) {
      library = new Promise((done, failed) => {
        const script = document.createElement("script");
        script.src = new URL("plotly.min.js", files);
        script.onload = () => done(window.Plotly);
        script.onerror = () => {
          library = null;
          failed(new Error("The drawing library could not be loaded; reload the page."));
        };
        document.head.append(script);
      });
      library.catch(() => {}); // said where it is waited for
    }
    return library;
  }

  // A question that was asked early is answered once, then asked anew.
  function answer(address) {
    const early = asked.get(address);
    asked.delete(address);
    return early || fetch(address, {credentials: "same-origin"});
  }

  // Not relative: an address may hold a user's name and password, with which nothing can be fetched.
  const address = (name, query) => `${location.origin}${location.pathname}api/${name}?${new URLSearchParams(query)}`;

  const run = new URLSearchParams(location.search).get("run");
  if (run) {
    const early = answer(address("run", {run_id: run}));
    early.catch(() => {});
    asked.set(address("run", {run_id: run}), early);
    plotly();
  }
  return {plotly, answer, address};
})();
