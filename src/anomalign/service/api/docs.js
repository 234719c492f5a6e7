/** "Send" under each route of the page: the request is sent with this browser's session, and the answer is shown. */

const MAX_TEXT = 100_000; // characters; a longer answer is cut

for (const form of document.querySelectorAll("form[data-path]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [button, answer] = [form.querySelector("button"), form.querySelector(".answer")];
    button.disabled = true;
    try {
      await show(await send(form), answer);
    } catch (error) {
      answer.replaceChildren(element("pre", error.message));
    }
    answer.hidden = false;
    button.disabled = false;
  });
}

function send(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  for (const field of form.querySelectorAll("[data-in]")) {
    if (field.dataset.in === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
    else if (field.value !== "") query.append(field.name, field.value);
  }
  const options = { method: form.dataset.method };
  const files = form.querySelector("input[type=file]");
  const json = form.querySelector("textarea");
  if (files) {
    options.body = new FormData();
    for (const file of files.files) options.body.append(files.name, file);
  } else if (json?.value.trim()) {
    options.body = json.value;
    options.headers = { "Content-Type": "application/json" };
  }
  return fetch(query.size ? `${path}?${query}` : path, options);
}

async function show(response, answer) {
  const type = response.headers.get("Content-Type") ?? "";
  const head = element("p", `${response.status} ${response.statusText} ${type}`);
  if (/^image\/(jpeg|png)/.test(type)) {
    const image = element("img");
    image.src = URL.createObjectURL(await response.blob());
    image.alt = "the answer";
    answer.replaceChildren(head, image);
  } else if (type.startsWith("image/")) {
    answer.replaceChildren(head, element("pre", `${(await response.blob()).size} bytes`));
  } else {
    const text = await response.text();
    answer.replaceChildren(head, element("pre", pretty(text, type).slice(0, MAX_TEXT)));
  }
}

function pretty(text, type) {
  return type.startsWith("application/json") ? JSON.stringify(JSON.parse(text), null, 2) : text;
}

function element(tag, text = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
