"use strict";
// Points say what they are, to a mouse, a finger and a keyboard; all they say is in #report.
(() => {
  const facts = JSON.parse(document.getElementById("report").textContent);
  const tip = document.getElementById("tip");
  const NEAR = 14; // SVG units within which a pointer means a point
  const SVG = "http://www.w3.org/2000/svg";
  const show = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 10 });
  let shown = null; // the point that the tip is about
  let hideShown = () => {};
  const names = COST_TITLES; // written here with the page, from the table of costs

  function candidate(index) {
    const table = facts.search.candidates;
    const row = table.rows[index];
    const one = Object.fromEntries(table.columns.map((name, place) => [name, row[place]]));
    const found = Object.entries(facts.search.finalists).filter(([, at]) => at === index);
    const role = index === facts.search.winner ? ["winner"] : [];
    const who = [...role, ...found.map(([name]) => name)].join(", ");
    let top1 = `top-1 ${show.format(one.top1)} %`;
    if (one.top1 === null) top1 = `failed: ${one.failure}`;
    else if (one.images !== null) top1 = `top-1 about ${show.format(one.top1)} %, stopped after ${one.images} images`;
    if (one.loss != null) {
      const error = one.loss_error === null ? "" : ` ± ${one.loss_error.toFixed(4)}`;
      top1 += `; cross-entropy ${one.loss.toFixed(4)}${error} nats`;
    }
    const costs = table.costs
      .map((name, place) => [names[name] || name, one.costs[place]])
      .filter(([, value]) => value !== null)
      .map(([name, value]) => `${name} ${show.format(value)}`);
    return [
      `candidate ${index}${who ? ` (${who})` : ""}`,
      `${top1}; ${one.origin}, generation ${one.generation}`,
      one.choices.join(","),
      costs.join(" · "),
    ].join("\n");
  }

  const text = (point) =>
    point.dataset.c === undefined ? point.getAttribute("aria-label") : candidate(Number(point.dataset.c));

  function place(box) {
    const width = tip.offsetWidth, height = tip.offsetHeight;
    const left = Math.min(Math.max(8, box.left + box.width / 2 - width / 2), innerWidth - width - 8);
    const above = box.top - height - 10;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above > 8 ? above : box.bottom + 10}px`;
  }

  function prepare(svg) {
    // What a title says is told by the tip; two boxes over one another would say it twice.
    const heading = [...svg.children].filter((one) => ["title", "desc"].includes(one.tagName));
    svg.setAttribute("aria-label", heading.map((one) => one.textContent).join(". "));
    svg.removeAttribute("aria-labelledby");
    heading.forEach((one) => one.remove());
    const points = [...svg.querySelectorAll(".point, [data-c]")].filter((one) => !one.matches(".ring"));
    for (const point of points) {
      const title = point.querySelector("title");
      if (title) {
        point.setAttribute("aria-label", title.textContent);
        title.remove();
      }
      point.setAttribute("role", "img");
      point.setAttribute("tabindex", "-1");
    }
    if (!points.length) return;

    let places = null; // measured when first needed: most plots are never pointed at
    const measured = () => {
      if (!places) {
        places = points.map((point) => {
          const box = point.getBBox();
          return { point, x: box.x + box.width / 2, y: box.y + box.height / 2 };
        });
        places.sort((a, b) => a.x - b.x || b.y - a.y);
        if (points[0].matches(".block")) places.sort((a, b) => a.y - b.y);
      }
      return places;
    };
    const ring = document.createElementNS(SVG, "circle");
    ring.setAttribute("class", "cursor");
    ring.setAttribute("r", "8");
    ring.setAttribute("visibility", "hidden");
    svg.append(ring);

    const winner = facts.search && svg.querySelector(`[data-c="${facts.search.winner}"]:not(.ring)`);
    let stop = winner || points[0];
    stop.setAttribute("tabindex", "0");

    function hide() {
      tip.hidden = true;
      shown = null;
      ring.setAttribute("visibility", "hidden");
    }
    function tell(point) {
      const said = text(point);
      point.setAttribute("aria-label", said);
      tip.textContent = said;
      if (shown !== point) hideShown();
      [shown, hideShown] = [point, hide];
      tip.hidden = false;
      if (!point.matches(".block")) {
        const at = measured().find((one) => one.point === point);
        ring.setAttribute("cx", at.x);
        ring.setAttribute("cy", at.y);
        ring.setAttribute("visibility", "visible");
      }
      place(point.getBoundingClientRect());
    }
    function under(event) {
      const direct = event.target.closest(".point, [data-c]");
      if (direct && direct.matches(".block")) return direct;
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      let best = null, least = NEAR * NEAR;
      for (const one of measured()) {
        const far = (one.x - at.x) ** 2 + (one.y - at.y) ** 2;
        if (far < least) [best, least] = [one.point, far];
      }
      return best;
    }
    const point = (event) => {
      const found = under(event);
      if (found) tell(found);
      else hide();
    };
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);
    svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
    svg.addEventListener("focusin", (event) => {
      if (!points.includes(event.target)) return;
      event.target.setAttribute("aria-label", text(event.target));
      if (event.target.matches(":focus-visible")) tell(event.target);
    });
    svg.addEventListener("focusout", hide);
    svg.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      if (event.key === "Escape") hide();
      if (!(event.key in steps)) return;
      event.preventDefault();
      const order = measured();
      const now = order.findIndex((one) => one.point === document.activeElement);
      const next = order[Math.min(Math.max(now + steps[event.key], 0), order.length - 1)].point;
      stop.setAttribute("tabindex", "-1");
      stop = next;
      stop.setAttribute("tabindex", "0");
      stop.focus();
      tell(stop);
    });
  }

  document.querySelectorAll("svg.plot").forEach(prepare);
  // A focused point takes its tip along; where a mouse was, something else is now.
  addEventListener("scroll", () => {
    if (shown && shown === document.activeElement) place(shown.getBoundingClientRect());
    else if (shown) hideShown();
  }, { passive: true });

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        // Where a page may not write the clipboard, the text is selected to be copied by hand.
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
})();
