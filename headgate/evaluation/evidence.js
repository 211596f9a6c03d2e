"use strict";
// Sorting and searching. Without it the page says the same, in the order it was written.
(() => {
  const words = (node) => node.textContent.replace(/\s+/g, " ").trim();
  const number = (text) => {
    const plain = text.replace(/[,%\u00d7]/g, "").replace("\u2212", "-").replace("<", "");
    return plain !== "" && !Number.isNaN(Number.parseFloat(plain)) ? Number.parseFloat(plain) : null;
  };
  const compare = (a, b) => {
    const x = number(a), y = number(b);
    if (x !== null && y !== null) return x - y;
    return x !== null ? -1 : y !== null ? 1 : a.localeCompare(b);
  };

  const sortTable = (table, column, button) => {
    const head = button.closest("th"), body = table.tBodies[0];
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = [...body.rows].map((row) => [words(row.cells[column]), row]);
    keyed.sort((a, b) => (down ? compare(b[0], a[0]) : compare(a[0], b[0])));
    body.append(...keyed.map((pair) => pair[1]));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (head.hasAttribute("data-fixed")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sortTable(table, column, button));
      head.append(button);
    });
  }

  for (const tools of document.querySelectorAll("[data-tools]")) {
    const lists = [...document.querySelectorAll(tools.dataset.tools)].map((list) => ({
      list,
      items: [...list.children].map((item, place) => ({ item, place, text: null })),
    }));
    const search = tools.querySelector("input"), order = tools.querySelector("select"), said = tools.querySelector("output");
    const all = lists.reduce((sum, one) => sum + one.items.length, 0);
    const filter = () => {
      const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let found = 0;
      for (const { items } of lists) {
        for (const one of items) {
          one.text ??= words(one.item).toLowerCase();
          one.item.hidden = !wanted.every((word) => one.text.includes(word));
          found += one.item.hidden ? 0 : 1;
        }
      }
      said.textContent = wanted.length ? `${found.toLocaleString("en")} of ${all.toLocaleString("en")}` : "";
      if (wanted.length) for (const { list } of lists) list.closest("details")?.setAttribute("open", "");
    };
    const sort = () => {
      for (const { list, items } of lists) {
        const key = (one) => words(one.item.querySelector(order.value));
        const keyed = order.value ? items.map((one) => [key(one), one]) : items.map((one) => ["", one]);
        keyed.sort((a, b) => compare(a[0], b[0]) || a[1].place - b[1].place);
        list.append(...keyed.map((pair) => pair[1].item));
      }
    };
    search.addEventListener("input", filter);
    order?.addEventListener("change", sort);
    tools.hidden = false;
  }
})();
