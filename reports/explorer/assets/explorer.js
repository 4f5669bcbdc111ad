// What Dash's components don't do: keep address and title in step with the page, and name controls.
window.dash_clientside = window.dash_clientside || {};

(() => {
  // Replaces the address by that of the picked items, without loading the page again.
  const follow = (path, query) => {
    const search = "?" + new URLSearchParams(query);
    if (location.pathname === path) {
      const { set_props } = window.dash_clientside;
      history.replaceState(history.state, "", search);
      set_props("followed", { data: path + search });
      set_props("url", { search, href: location.href });
    }
    return path + search;
  };

  window.dash_clientside.explorer = {
    layer: (network, layer, device, precision) =>
      follow("/", {
        network,
        ...(layer ? { layer } : {}),
        ...(device ? { device } : {}),
        ...(precision === "f32" ? {} : { precision }),
      }),
    runs: (a, b) => follow("/compare", { a, b }),
    name: (path, search) => {
      const page = [...document.querySelectorAll("nav a")].find((link) => link.pathname === path);
      const chosen = [...new URLSearchParams(search).values()].join(", ");
      document.title = [...(page ? [page.textContent] : []), ...(chosen ? [chosen] : []), "Rankline"].join(" – ");
    },
  };

  // Dash doesn't name its sliders and option lists; use the text above them.
  const nameless = ":is(.labelled, .window) :is([role=slider], [role=listbox]):not([aria-label])";
  const name = () => {
    for (const one of document.querySelectorAll(nameless))
      one.setAttribute("aria-label", one.closest(".labelled, .window").querySelector("legend, label").textContent);
  };
  new MutationObserver(name).observe(document.documentElement, { childList: true, subtree: true });
})();
