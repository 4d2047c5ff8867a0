// Dragging a card of the studio to a place pins it there; without scripts the fields of each card do the same.

const cards = document.querySelector("[data-studio]");

const pinTo = (product, place) => {
  const card = cards.querySelector(`[data-product="${CSS.escape(product)}"]`);
  const form = card?.querySelector("form[data-pin]");
  if (!form) return;
  form.elements.pin_place.value = place;
  form.requestSubmit();
};

cards?.addEventListener("dragstart", (event) => {
  const card = event.target.closest("[data-product]");
  if (card) event.dataTransfer.setData("text/plain", card.dataset.product);
});

cards?.addEventListener("dragover", (event) => {
  if (event.target.closest("[data-place]")) event.preventDefault();
});

cards?.addEventListener("drop", (event) => {
  const target = event.target.closest("[data-place]");
  const product = event.dataTransfer.getData("text/plain");
  if (!target || !product) return;
  event.preventDefault();
  if (target.dataset.product !== product) pinTo(product, target.dataset.place);
});
