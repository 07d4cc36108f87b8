// Draws curves with uPlot where an element says so, and keeps them while the page around them changes.
// Each curve has its values in a table as well: this one is for the eye only.

import { h } from './dom.js';

const drawn = new Map();
const wanted = new Map();

// A figure with curves over the same times. `lines` are `[name, values, colour]`, where a colour is a variable
// of style.css; `say` makes words of a value, and `steps` are those of its axis where ours are not tens.
export function curve(id, name, times, lines, say, steps) {
  wanted.set(id, { data: [times, ...lines.map(([, values]) => values)], lines, say, steps });
  const most = Math.max(0, ...lines.flatMap(([, values]) => values.map((value) => value ?? 0)));
  return h(
    'figure',
    { class: 'curve', 'data-key': id },
    h(
      'figcaption',
      {},
      name,
      h(
        'span',
        { class: 'note' },
        lines.length > 1 &&
          lines.map(([line, , colour]) => [
            ' ',
            h('span', { class: `mark ${colour}`, 'aria-hidden': 'true' }),
            ` ${line}`,
          ]),
      ),
    ),
    h('div', {
      class: 'plot',
      'data-plot': id,
      role: 'img',
      'aria-label': `${name}: ${say(most)} at most. The table below has each value.`,
    }),
  );
}

// Draws what is on the page now, and lets go of what is not.
export function draw() {
  for (const [id, { plot, element }] of drawn) {
    if (!element.isConnected) {
      plot.destroy();
      drawn.delete(id);
    }
  }
  for (const element of document.querySelectorAll('[data-plot]')) {
    const id = element.getAttribute('data-plot');
    const { data, lines, say, steps } = wanted.get(id);
    const known = drawn.get(id);
    if (known) {
      known.plot.setData(data);
      if (known.plot.width !== element.clientWidth)
        known.plot.setSize({ width: element.clientWidth, height: HEIGHT });
    } else {
      drawn.set(id, {
        element,
        plot: new uPlot(options(element.clientWidth, lines, say, steps), data, element),
      });
    }
  }
}

// With other colours all are drawn anew.
export function redraw() {
  for (const { plot } of drawn.values()) plot.destroy();
  drawn.clear();
  draw();
}

const HEIGHT = 130;

function options(width, lines, say, steps) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const axis = {
    stroke: colour('dim'),
    font: '11px system-ui, sans-serif',
    grid: { stroke: colour('line'), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC'),
    // From zero, so that a high curve is a high value; up to something, where all are zero.
    scales: { y: { range: (plot, least, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      { ...axis, size: 24, space: 60, values: (plot, times) => times.map((at) => label(at, times)) },
      {
        ...axis,
        size: 64,
        space: 30,
        ...(steps && { incrs: steps }),
        values: (plot, values) => values.map((value) => say(value)),
      },
    ],
    series: [
      {},
      ...lines.map(([name, , line]) => ({
        label: name,
        stroke: colour(line),
        width: 1.5,
        points: { show: true, size: 4 },
      })),
    ],
  };
}

// The time of day in UTC; the day, where more than two are in view.
function label(at, times) {
  const text = new Date(at * 1000).toISOString();
  return times.at(-1) - times[0] > 172_800 ? text.slice(5, 10) : text.slice(11, 16);
}
