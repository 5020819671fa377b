// A robot's side of the connection, to copy: for Node 22 or newer and for browsers, with nothing else.

/** Send a reading each second for ever; what was not acknowledged waits for a day. */
export async function live(url, read, { token, renew = 3_600_000 } = {}) {
  const backlog = [];
  const recording = setInterval(() => {
    backlog.push({ ...read(), timestamp: Date.now() / 1000 });
    if (backlog.length > 86_400) backlog.shift();
  }, 1000);
  try {
    for (let pause = 1000; ; ) {
      const begun = Date.now();
      const { code, reason } = await talk(url, backlog, token, renew);
      // Another robot has this id: coming back would make them take turns.
      if (code === 4409) throw new Error(`closed with ${code}: ${reason}`);
      pause = Date.now() - begun > 60_000 ? 1000 : Math.min(60_000, 2 * pause);
      const told = /come back in (\d+) s/.exec(reason);
      const wait = (told ? told[1] * 1000 : pause / 2) + (Math.random() * pause) / 2;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  } finally {
    clearInterval(recording);
  }
}

function talk(url, backlog, token, renew) {
  return new Promise((resolve) => {
    // A browser cannot send headers. The answer names "charter" and never the token.
    const socket = new WebSocket(`${url}?ack=1`, token ? ["charter", `bearer.${token()}`] : []);
    let batch = [];
    let late; // fires where no answer comes: the network is gone, and nobody says so
    const end = ({ code = 1006, reason = "" }) => {
      clearInterval(renewing);
      clearTimeout(late);
      socket.onclose = null;
      resolve({ code, reason });
    };
    const send = (frame) => {
      clearTimeout(late);
      late = setTimeout(() => (end({}), socket.close()), 30_000);
      socket.send(JSON.stringify(frame));
    };
    const next = () => {
      if (socket.readyState !== WebSocket.OPEN) return;
      batch = backlog.slice(0, 250); // a frame has 64 KiB
      if (batch.length) send(batch);
      else setTimeout(next, 500);
    };
    const renewing = setInterval(() => {
      if (token && socket.readyState === WebSocket.OPEN) send({ type: "token", token: token() });
    }, renew);
    socket.onopen = next;
    socket.onclose = end;
    socket.onerror = () => setTimeout(end, 1000, {}); // Node 20 closes nothing after a refusal
    socket.onmessage = ({ data }) => {
      clearTimeout(late);
      const answer = JSON.parse(data);
      if (answer.type === "token" || answer.error?.code === "invalid_token") return;
      const newest = batch.at(-1)?.timestamp;
      while (answer.type === "ack" && backlog[0]?.timestamp <= newest) backlog.shift();
      setTimeout(next, answer.type === "ack" && backlog.length > 1 ? 0 : 500);
    };
  });
}
