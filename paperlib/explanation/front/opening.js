// The head of `your_video`: which file, which checkpoint.
const PIECE = 1 << 20; // bytes of an uploaded file per message

function opening(view) {
  const { model } = view;
  if (!model.get("features").includes("open")) return null;
  let typed = false; // something that was not asked yet
  const edited = () => (typed = true);
  const list = make("datalist", { id: `pl-files-${Math.random().toString(36).slice(2)}` });
  const file = make("input", {
    type: "text",
    list: list.id,
    class: "pl-file",
    placeholder: "a video file, or upload one",
    "aria-label": "video file",
    value: model.get("chosen").file || "",
    oninput: edited,
  });
  const fill = () => list.replaceChildren(...model.get("files").map((name) => new Option(name)));
  const checkpoint = choice(
    "checkpoint",
    model.get("checkpoints").map((name) => [name, name]),
    model.get("chosen").checkpoint,
    edited,
  );
  const open = () => {
    typed = false;
    ask(view, "open", 0, { file: file.value, checkpoint: checkpoint.value });
  };
  const picker = make("input", {
    type: "file",
    accept: "video/*,.avi,.mkv,.webm",
    "aria-label": "upload a video",
    onchange: () => picker.files.length && take(picker.files[0]),
  });
  const take = async (chosen) => {
    picker.disabled = true; // one file at a time
    const name = await upload(view, chosen);
    picker.disabled = false;
    if (!name) return void (picker.value = ""); // the same file can be chosen again
    file.value = name;
    open();
  };
  view.reopened = () => {
    const chosen = model.get("chosen");
    if (typed || pending(view, "open 0")) return;
    if (!chosen.file) return; // nothing is open: what was typed can be mended
    const listed = [...checkpoint.options].some((option) => option.value === chosen.checkpoint);
    if (!listed) checkpoint.append(new Option(chosen.checkpoint)); // one that was opened from Python
    file.value = chosen.file;
    checkpoint.value = chosen.checkpoint;
  };
  file.addEventListener("keydown", (event) => event.key === "Enter" && open());
  fill();
  view.reopened();
  model.on("change:files", fill);
  model.on("change:chosen", view.reopened);
  return make(
    "div",
    { class: "pl-bar pl-open", role: "toolbar", "aria-label": "what to look at" },
    make("label", {}, "video ", file),
    list,
    picker,
    make("label", {}, "checkpoint ", checkpoint),
    make("button", { type: "button", class: "pl-go", onclick: open }, "analyse"),
  );
}

// Send a file to the kernel piece by piece (a message must not be too long); returns its name there, if all arrived.
async function upload(view, file) {
  for (let offset = 0; offset === 0 || offset < file.size; offset += PIECE) {
    say(view, `uploading ${file.name}: ${percent(offset / Math.max(file.size, 1))}`);
    const buffer = await file
      .slice(offset, offset + PIECE)
      .arrayBuffer()
      .catch((error) => say(view, `${file.name} cannot be read: ${error.message}`, true));
    if (!buffer) return null;
    const piece = { name: file.name, offset };
    if (!(await new Promise((told) => ask(view, "upload", 0, piece, [buffer], told)))) return null;
  }
  return `uploaded/${file.name}`; // not the file of that name in the widget's folder
}
