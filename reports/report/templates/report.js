const boxes = [...document.querySelectorAll(".plot")];
const options = {responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]]};

// plotly.js is compressed to keep the file small; browsers can decompress it themselves since 2023.
async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (one) => one.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function draw(box) {
  if (box.dataset.drawn) return;
  box.dataset.drawn = "yes";
  const figure = JSON.parse(document.getElementById(box.dataset.figure).textContent);
  Plotly.newPlot(box, figure.data, figure.layout, options);
}

const PAGE_WIDTH = 680;

function start() {
  // Drawing a network of a hundred layers at once would take seconds.
  const seen = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
    {rootMargin: "1200px"},
  );
  boxes.forEach((box) => seen.observe(box));
  window.addEventListener("beforeprint", () => {
    boxes.forEach((box) => { draw(box); Plotly.relayout(box, {width: PAGE_WIDTH, autosize: false}); });
  });
  window.addEventListener("afterprint", () => {
    boxes.forEach((box) => Plotly.relayout(box, {width: null, autosize: true}));
  });
}

window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((part) => { part.open = true; });
});
unpacked("plotly-packed").then((text) => {
  const script = document.createElement("script");
  script.textContent = text;
  document.head.append(script);
  start();
}).catch(() => { document.getElementById("too-old").hidden = false; });
