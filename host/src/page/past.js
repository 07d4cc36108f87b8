// What an app did, as curves and as a table, over an hour, a day or a week: a part of the screen of an app.
// Keeps what it read for some seconds.

import { curve } from './curves.js';
import { h } from './dom.js';
import { bytes, clock, cores, count, duration, many } from './format.js';
import { askIfThere } from './host.js';
import { table, unanswered } from './parts.js';

// How far back the curves go, and the seconds of a step.
const RANGES = { '1h': [3600, 60, 'minute'], '24h': [86_400, 3600, 'hour'], '7d': [604_800, 3600, 'hour'] };
let range = '1h';
let kept = {};
// Calls are counted in whole ones, and sizes in powers of two, so their axes go by these.
const WHOLE = Array.from({ length: 12 }, (none, power) => [1, 2, 5].map((first) => first * 10 ** power)).flat();
const POWERS = Array.from({ length: 50 }, (none, power) => 2 ** power);

export function choose(which) {
  range = which;
}

export async function load(app) {
  const [length, step, word] = RANGES[range];
  const from = new Date(Math.floor((Date.now() / 1000 - length) / step + 1) * step * 1000).toISOString();
  // Reading history reads the disk, so that is done less often than the rest, and at once where something else is
  // looked at.
  const key = `${app} ${range} ${Math.floor(Date.now() / (word === 'minute' ? 15_000 : 60_000))}`;
  if (kept.key !== key) {
    kept = {
      key,
      history: askIfThere(`/v1/apps/${encodeURIComponent(app)}/history?host=*&since=${from}&step=${word}`),
    };
    kept.history.catch(() => {
      kept = {};
    });
  }
  const shown = range;
  return { history: await kept.history, shown };
}

export function show({ history, shown }) {
  const choice = h(
    'p',
    { class: 'choice', role: 'group', 'aria-label': 'How far back' },
    Object.keys(RANGES).map((name) =>
      h('button', { type: 'button', 'data-range': name, 'aria-pressed': String(name === shown) }, name),
    ),
  );
  const head = h('h2', {}, 'What it did');
  if (history === null)
    return [
      head,
      h(
        'p',
        { class: 'note' },
        'Nothing is kept of what it did: the host keeps no history, or has none of this app yet.',
      ),
    ];
  const [, step, word] = RANGES[shown];
  const slots = new Map(history.slots.map((slot) => [Date.parse(slot.at) / 1000, slot]));
  const times = [];
  for (let at = Date.parse(history.since) / 1000; at < Date.parse(history.until) / 1000; at += step)
    times.push(at);
  const of = (key, none) => times.map((at) => slots.get(at)?.[key] ?? none);
  const cpu = of('cpu_us', 0).map((us) => us / step);
  const errors = of('errors', 0);
  const wrong = of('failed', 0).map((failed, place) => failed + errors[place]);
  const active = times.filter((at) => slots.has(at));
  return [
    head,
    choice,
    unanswered(history.sources),
    h(
      'div',
      { class: 'curves' },
      curve(
        'calls',
        `Calls of each ${word}`,
        times,
        [
          ['all', of('calls', 0), 'one'],
          ['failed or 5xx', wrong, 'two'],
          ['refused', of('refused', 0), 'three'],
        ],
        count,
        WHOLE,
      ),
      curve(
        'took',
        'How long they took',
        times,
        [
          ['p50', of('p50_us', null), 'one'],
          ['p99', of('p99_us', null), 'two'],
        ],
        duration,
      ),
      curve('cpu', 'CPU time of each second', times, [['CPU', cpu, 'one']], duration),
      curve(
        'memory',
        'Memory of its instances',
        times,
        [
          ['held', of('memory_bytes', 0), 'one'],
          ['most in one call', of('memory_peak_bytes', 0), 'two'],
        ],
        bytes,
        POWERS,
      ),
    ),
    h(
      'details',
      {},
      h('summary', {}, `The same as a table: ${many(active.length, word)} in which it was called`),
      table(
        'What it did',
        [
          ['From'],
          ['Calls', 'number'],
          ['Failed', 'number'],
          ['5xx', 'number'],
          ['Refused', 'number'],
          ['p50', 'number'],
          ['p99', 'number'],
          ['Cores', 'number'],
          ['Held', 'number'],
          ['Most in a call', 'number'],
        ],
        active.toReversed().map((at) => {
          const slot = slots.get(at);
          return {
            key: String(at),
            cells: [
              clock(at * 1000),
              count(slot.calls),
              count(slot.failed),
              count(slot.errors),
              count(slot.refused),
              duration(slot.p50_us),
              duration(slot.p99_us),
              cores(slot.cpu_us / 1e6 / step),
              bytes(slot.memory_bytes),
              bytes(slot.memory_peak_bytes),
            ],
          };
        }),
      ),
    ),
  ];
}
