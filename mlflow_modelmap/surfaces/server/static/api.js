// What the server answers, or its error as one sentence.

export async function ask(name, query = {}) {
  let response, answer;
  try {
    response = await Start.answer(Start.address(name, query));
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

export const loadPlotly = Start.plotly;
