// The row of examples. `element`, `trigger`: given by gradio.
const buttons = [...element.querySelectorAll("[data-number]")];
for (const button of buttons) {
  button.addEventListener("click", () => {
    for (const other of buttons) other.setAttribute("aria-pressed", other === button);
    trigger("example", { number: Number(button.dataset.number) });
  });
}
