// What stands in for the kernel in a page of its own: it answers the view's questions from what was computed.

function unpack(value) {
  if (value?.bytes !== undefined)
    return new DataView(Uint8Array.from(atob(value.bytes), (c) => c.charCodeAt(0)).buffer);
  if (Array.isArray(value)) return value.map(unpack);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, unpack(inner)]));
}

class Kept {
  constructor(state) {
    const first = state.answers[state.target];
    this.answers = state.answers;
    this.heard = {};
    this.values = { ...state, found: [first.found], masks: [first.mask], maps: [first.maps] };
  }

  get(name) {
    return this.values[name];
  }

  set(name, value) {
    this.values[name] = value;
  }

  save_changes() {}

  on(name, act) {
    (this.heard[name] ||= []).push(act);
  }

  off(name, act) {
    this.heard[name] = (this.heard[name] || []).filter((other) => other !== act);
  }

  tell(name, ...what) {
    for (const act of this.heard[name] || []) act(...what);
  }

  put(changes) {
    Object.assign(this.values, changes);
    for (const name of Object.keys(changes)) this.tell(`change:${name}`);
  }

  get here() {
    return this.answers[this.values.found[0].target];
  }

  // As of a kernel, the answer comes after the question has been asked.
  send({ kind, panel, ...content }) {
    queueMicrotask(() => {
      const text = { explain: this.explain, score: this.score, learn: this.learned }[kind]?.call(this, content);
      this.tell("msg:custom", { kind: "done", of: kind, panel, text }, []);
    });
  }

  explain({ target, sigma }) {
    const changed = target !== this.values.found[0].target,
      about = this.answers[target],
      ranges = sigma === about.found.sigma ? null : about.sigmas?.[sigma?.toFixed(3)]; // only of the slider's places
    this.put({ found: [ranges ? { ...about.found, ...ranges, sigma } : about.found] });
    if (changed) this.put({ maps: [about.maps], masks: [about.mask] });
  }

  score({ mask }) {
    const same = (other) => other.every((value, t) => value > THRESHOLD === mask[t] > THRESHOLD),
      { mask: learned, tried } = this.here;
    const exact = learned.scores && learned.mask.every((value, t) => Math.abs(value - mask[t]) < 1e-6);
    const known = exact ? learned : tried.find((one) => same(one.mask));
    this.put({ masks: [{ loss: learned.loss, running: false, mask: known?.mask || mask, scores: known?.scores }] });
    return known ? "" : `this mask was not tried when the page was made; the scores of ${tried.length} others were kept`;
  }

  learned() {
    this.put({ masks: [{ ...this.here.mask }] });
  }
}

const state = unpack(JSON.parse(document.getElementById("state").textContent));
const dark = matchMedia("(prefers-color-scheme: dark)");

// A change of an attribute of the body is what the view takes for a change of theme.
function wear(theme) {
  document.documentElement.dataset.theme = theme;
  document.body.dataset.theme = theme;
}
const turn = () => wear(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
wear(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => wear(dark.matches ? "dark" : "light"));
document.getElementById("theme").addEventListener("click", turn);

render({ model: new Kept(state), el: document.getElementById("here") });
const view = document.querySelector(".pl-root");
view.focus({ preventScroll: true });

// Keys work wherever nothing else wants them.
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key.toLowerCase() === "d" && !event.target.matches("input[type=text], select")) return void turn();
  if (event.target !== document.body) return;
  const same = new KeyboardEvent("keydown", { key: event.key, bubbles: true, cancelable: true });
  if (!view.dispatchEvent(same)) event.preventDefault();
});
