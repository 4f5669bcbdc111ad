// What no component does by itself: an address and a title that follow the page, and names for controls.
window.dash_clientside = window.dash_clientside || {};

(() => {
  // The address of what a page's pickers show, in the place of the one before; the page stays as it is.
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
    layer: (network, layer) => follow("/", layer ? { network, layer } : { network }),
    runs: (a, b) => follow("/compare", { a, b }),
    name: (path, search) => {
      const page = [...document.querySelectorAll("nav a")].find((link) => link.pathname === path);
      const chosen = [...new URLSearchParams(search).values()].join(", ");
      document.title = [...(page ? [page.textContent] : []), ...(chosen ? [chosen] : []), "Rankline"].join(" – ");
    },
  };

  // Dash gives its sliders and lists of options no name; what stands above them is it.
  const nameless = ":is(.labelled, .window) :is([role=slider], [role=listbox]):not([aria-label])";
  const name = () => {
    for (const one of document.querySelectorAll(nameless))
      one.setAttribute("aria-label", one.closest(".labelled, .window").querySelector("legend, label").textContent);
  };
  new MutationObserver(name).observe(document.documentElement, { childList: true, subtree: true });
})();
