// The screen of one call: how it ended, where its time went, what it used, whom it asked, what it printed.
// Shows what hosts keep of it, which is not much for long.

import { isGood, printed } from './app.js';
import { h } from './dom.js';
import { bytes, clock, count, duration, since, visible } from './format.js';
import { ask, askIfThere } from './host.js';
import { appLink, facts, state, table, unanswered } from './parts.js';

// Each phase, what the call did in it, and what makes it shorter, in the order in which they are shown. The words
// are those of core::spent; a test compares them.
const PHASES = {
  queue: [
    'waited for its turn, or for a free slot',
    "raise [limits] concurrency or the host's slots, or make the app's calls shorter",
  ],
  code: [
    'waited for its code to be loaded',
    'call it more often than code is given up, or make the component smaller',
  ],
  core: ['waited for a free core', 'give the app more weight or more hosts, or other apps less'],
  instance: ['had its instance made', 'make the component smaller, or set [instance] reuse'],
  guest: ['ran', 'do less in one call'],
  outbound: [
    'waited for an outbound request',
    'give outbound requests a shorter timeout, and see why they take so long',
  ],
  store: [
    'waited for a key-value store or a database',
    "write several keys at once, or rows in one transaction, or have the data on a faster disk",
  ],
  request_body: [
    "waited for the client to send the request's body",
    'nothing is wrong with the app: its client sends slowly',
  ],
  client: [
    'waited for the client to read the answer',
    'nothing is wrong with the app: its client reads slowly',
  ],
  sleep: ['slept', 'wait for less time, or answer before waiting'],
  host: ['was handled by the host', 'see `steerage top` for what the host is busy with'],
};

// Lines and events of the app among which those of the call are looked for.
const LOOKED_THROUGH = 1000;

export const title = ([id]) => `Call ${visible(id).slice(0, 8)}`;
// It is over; what it printed may still come.
export const every = 15_000;
export const above = ({ call }) => (call ? `#/app/${encodeURIComponent(call.app)}` : '#/apps');

export async function load([id]) {
  const found = await ask(`/v1/calls/${encodeURIComponent(id)}?host=*`);
  const call = found.calls.find((call) => call.id === id) ?? found.calls[0];
  if (!call) return { id, call: null, sources: found.sources, lines: [], event: null };
  const app = encodeURIComponent(call.app);
  const [logs, events] = await Promise.all([
    askIfThere(`/v1/apps/${app}/logs?host=*&lines=${LOOKED_THROUGH}`),
    askIfThere(`/v1/events?host=*&app=${app}&limit=${LOOKED_THROUGH}`),
  ]);
  return {
    id,
    call,
    sources: found.sources,
    lines: (logs?.lines ?? []).filter((line) => line.call === call.id),
    event: (events?.events ?? []).find((event) => event.call === call.id) ?? null,
  };
}

export function show({ id, call, sources, lines, event }) {
  if (!call) {
    return [
      h('h1', { tabindex: '-1' }, title([id])),
      unanswered(sources),
      h(
        'p',
        {},
        'No host keeps this call any more, or none ever had it. Hosts keep the last calls of each app; failed ones longer.',
      ),
    ];
  }
  const failedBy =
    call.failed_by && JSON.stringify(call.failed_by) !== JSON.stringify(call.waited_for)
      ? call.failed_by
      : null;
  return [
    h('p', { class: 'path' }, h('a', { href: '#/apps' }, 'Apps'), ' / ', appLink(call.app)),
    h('h1', { tabindex: '-1' }, title([call.id])),
    unanswered(sources),
    facts([
      ['Request', `${visible(call.method)} ${visible(call.path)}`],
      ['Ended', [state(call.cause, isGood(call)), `, status ${call.status}`]],
      ['Because', event && visible(event.message)],
      ['At', event?.evidence.backtrace && h('pre', {}, visible(event.evidence.backtrace, true))],
      ['Next', event?.advice && visible(event.advice)],
      ['Began', `${clock(call.at)}, ${since(call.at)} ago`],
      ['Took', duration(call.duration_us)],
      ['Asked', [call.waited_for, failedBy].filter(Boolean).map((wait) => h('div', {}, asked(wait)))],
      [
        'Used',
        `${count(call.fuel)} fuel, ${duration(call.cpu_us)} of CPU, ${bytes(call.memory_bytes)} of memory`,
      ],
      ['Client', call.client && visible(call.client)],
      ['Body', call.request_bytes > 0 && bytes(call.request_bytes)],
      ['Answer', bytes(call.response_bytes)],
      ['App', `${visible(call.app)}, generation ${call.generation}`],
      ['Host', call.host && visible(call.host)],
      ['Id', h('code', {}, visible(call.id))],
    ]),
    spent(call.time_us),
    printed(lines),
  ];
}

function asked({ destination, waited_us: waited, wrong }) {
  return wrong
    ? `${visible(destination)}, which failed (${visible(wrong)}) after ${duration(waited)}`
    : `${visible(destination)}, and waited ${duration(waited)} for it`;
}

function spent(time) {
  const known = Object.keys(PHASES);
  // A newer host may know more phases; they come last.
  const names = [...known, ...Object.keys(time).filter((name) => !known.includes(name))].filter(
    (name) => time[name] > 0,
  );
  const whole = names.reduce((sum, name) => sum + time[name], 0);
  if (whole === 0) return h('p', { class: 'note' }, 'Where its time went is not known.');
  const percent = (name) => (100 * time[name]) / whole;
  const longest = names.reduce((most, name) => (time[name] > time[most] ? name : most));
  const mark = (name) => `phase-${known.includes(name) ? name : 'other'}`;
  const shorter = PHASES[longest]?.[1];
  return [
    h('h2', {}, 'Where its time went'),
    h(
      'div',
      { class: 'bar', 'aria-hidden': 'true' },
      names.map((name) =>
        h('span', {
          'data-key': name,
          class: mark(name),
          title: `${name} ${duration(time[name])}`,
          style: { 'flex-grow': String(time[name]) },
        }),
      ),
    ),
    table(
      'The phases in the order of the bar',
      [['Phase'], ['Took', 'number'], ['Part', 'number'], ['It', 'text']],
      names.map((name) => ({
        key: name,
        cells: [
          [h('span', { class: `mark ${mark(name)}`, 'aria-hidden': 'true' }), ` ${visible(name)}`],
          duration(time[name]),
          `${percent(name) < 1 ? '<1' : Math.round(percent(name))}%`,
          PHASES[name]?.[0] ?? '',
        ],
      })),
    ),
    shorter && h('p', { class: 'remedy' }, h('span', { class: 'word' }, 'To make it shorter '), shorter),
  ];
}
