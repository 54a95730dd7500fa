// What the pages' scripts share: addresses, the sentences that are written in the page, and why a socket is refused.

const root = document.documentElement.dataset.root;
const ANSWER_MS = 5_000;

/** An address of ours; `path` begins with a slash. */
export function address(path) {
  return root + path;
}

/** The address of a socket of ours. */
export function socketAddress(path) {
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}${address(path)}`;
}

/** What the page says for `key`: the element with that `data-says` in its template `says`, or undefined. */
export function says(key) {
  return document.getElementById("says").content.querySelector(`[data-says="${key}"]`)?.textContent.trim();
}

/** Why a socket was refused, of which a browser tells nothing: signed-out, away (no answer in time), or full. */
export async function whyRefused() {
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const response = await fetch(location.href, { redirect: "manual", cache: "no-store", signal });
    if (response.type === "opaqueredirect" || response.status === 401) return "signed-out";
    return "full";
  } catch {
    return "away";
  }
}

/** A pause in milliseconds, which a connection to the network ends early. */
export function pauseOrOnline(ms) {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      removeEventListener("online", over);
      resolve();
    };
    const timer = setTimeout(over, ms);
    addEventListener("online", over);
  });
}
