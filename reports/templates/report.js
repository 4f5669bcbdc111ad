const boxes = [...document.querySelectorAll(".plot")];
const options = {responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]]};

function draw(box) {
  if (box.dataset.drawn) return;
  box.dataset.drawn = "yes";
  const figure = JSON.parse(document.getElementById(box.id + "-data").textContent);
  Plotly.newPlot(box, figure.data, figure.layout, options);
}

// A network of a hundred layers would take seconds to draw at once.
const seen = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
  {rootMargin: "1200px"},
);
boxes.forEach((box) => seen.observe(box));

const PAGE_WIDTH = 680;
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((part) => { part.open = true; });
  boxes.forEach((box) => { draw(box); Plotly.relayout(box, {width: PAGE_WIDTH, autosize: false}); });
});
window.addEventListener("afterprint", () => {
  boxes.forEach((box) => Plotly.relayout(box, {width: null, autosize: true}));
});
