// What the server answers, or its error as one sentence.

// Not relative: an address may hold a user's name and password, with which nothing can be fetched.
const HERE = location.origin + location.pathname;

export async function ask(name, query = {}) {
  let response, answer;
  try {
    response = await fetch(`${HERE}api/${name}?${new URLSearchParams(query)}`, {credentials: "same-origin"});
  } catch (error) {
    throw new Error("The server cannot be reached; check that it still runs, then reload the page.");
  }
  try {
    answer = await response.json();
  } catch (error) {
    throw new Error(response.status === 401
      ? "You are not logged in any more; reload the page."
      : `The server answered with status ${response.status}; its log says more.`);
  }
  if (!response.ok) throw new Error(answer.error || `The server answered with status ${response.status}.`);
  return answer;
}

let plotly = null;

// The drawing library, once a page needs it: 4.5 MB, kept by the browser.
export function loadPlotly() {
  plotly = plotly || new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = new URL("plotly.min.js", import.meta.url);
    script.onload = () => done(window.Plotly);
    script.onerror = () => {
      plotly = null;
      failed(new Error("The drawing library could not be loaded; reload the page."));
    };
    document.head.append(script);
  });
  return plotly;
}
