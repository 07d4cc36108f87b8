// The screen of one app: what is wrong with it, what it may use, its deployments, what it did, whom it asked, its
// last calls, what happened to it and what it printed.
// Shows what the host tells; what there is none of has no place here.

import { h } from './dom.js';
import { bytes, clock, count, duration, many, shortDigest, since, visible } from './format.js';
import { ask } from './host.js';
import { diagnosis, facts, region, state, table, unanswered } from './parts.js';
import * as past from './past.js';

export const title = ([app]) => visible(app);
export const every = 4000;
export const above = '#/apps';

const LAST = 30;

export async function load([app]) {
  const path = `/v1/apps/${encodeURIComponent(app)}`;
  const [detail, calls, destinations, why, did, events, logs] = await Promise.all([
    ask(`${path}?host=*`),
    ask(`${path}/calls?host=*&limit=${LAST}`),
    ask(`${path}/destinations?host=*`),
    ask(`${path}/why?host=*`),
    past.load(app),
    ask(`/v1/events?host=*&app=${encodeURIComponent(app)}&limit=${LAST}`),
    ask(`${path}/logs?host=*&lines=${LAST}`),
  ]);
  return {
    detail,
    calls: calls.calls,
    destinations: destinations.destinations,
    why,
    events: events.events,
    lines: logs.lines,
    past: did,
  };
}

export function show(told) {
  const { detail, why } = told;
  return [
    h('p', { class: 'path' }, h('a', { href: '#/apps' }, 'Apps')),
    h('h1', { tabindex: '-1' }, visible(detail.app)),
    detail.description && h('p', {}, visible(detail.description)),
    unanswered(detail.sources),
    why.diagnoses.length === 0
      ? h('p', { class: 'well' }, `Nothing is wrong: ${visible(why.standing)}`)
      : why.diagnoses.map(diagnosis),
    about(detail),
    detail.canary && canary(detail.canary),
    past.show(told.past),
    calls(told.calls),
    destinations(told.destinations),
    replicas(detail.replicas),
    deployments(detail.deployments),
    events(told.events),
    printed(told.lines),
    manifest(detail.manifest),
  ];
}

function about(app) {
  const limits = app.limits;
  const is = (number, word) => number > 0 && many(number, word);
  const latency =
    app.latency.counts.some((counted) => counted > 0) &&
    `${duration(app.latency.p50_us)} p50, ${duration(app.latency.p95_us)} p95, ${duration(app.latency.p99_us)} p99`;
  return facts([
    [
      'Serves',
      `generation ${app.generation}, version ${visible(app.version)}, ${visible(app.kind)}, ${shortDigest(app.component)}, ${bytes(app.size_bytes)}, for ${since(app.deployed_at)}`,
    ],
    ['Rollout', app.rollout && visible(app.rollout)],
    [
      'Rolled back',
      app.taken_back &&
        `generation ${app.taken_back.generation}, ${since(app.taken_back.at)} ago: ${visible(app.taken_back.why)}`,
    ],
    ['Routes', app.routes.map((route) => h('div', {}, visible(route)))],
    [
      'Calls',
      [
        many(app.calls, 'call'),
        is(app.failed, 'failure'),
        app.errors > 0 && `${count(app.errors)} 5xx`,
        app.refused > 0 && `${count(app.refused)} refused`,
      ]
        .filter(Boolean)
        .join(', '),
    ],
    ['Took', latency],
    ['Now', app.running + app.waiting > 0 && `${app.running} running, ${app.waiting} waiting`],
    [
      'Used',
      [
        `${count(app.fuel)} fuel, ${duration(app.cpu_seconds * 1e6)} of CPU (`,
        h('a', { href: `#/profile/${encodeURIComponent(app.app)}` }, 'its profile'),
        `), ${bytes(app.memory_peak_bytes)} of memory at most in one call`,
      ],
    ],
    [
      'Limits',
      `${visible(limits.memory)} memory, ${count(limits.fuel)} fuel, ${visible(limits.timeout)}, ${many(limits.concurrency, 'call')} at once and ${count(limits.queue)} waiting, bodies of ${visible(limits.request_body)} in and ${visible(limits.response_body)} out`,
    ],
    [
      'Promises',
      [
        app.success_objective && `${visible(app.success_objective)} answered well`,
        app.latency_objective && visible(app.latency_objective),
      ]
        .filter(Boolean)
        .join(', '),
    ],
    [
      'Instances',
      `${visible(app.instances.made)}${app.instances.in_the_way ? `: ${visible(app.instances.in_the_way)}` : ''}`,
    ],
    ['Tenant', `${visible(app.tenant)}, weight ${app.weight}`],
    ['May ask', app.allowed_outbound_hosts.map((host) => h('div', {}, visible(host)))],
    ['Environment', app.env.map((name) => visible(name)).join(', ')],
  ]);
}

function canary({ generation, share, since: at, verdict, old, canary: tried }) {
  const side = (name, { calls: n, failed, p50_us, p95_us }) => ({
    key: name,
    cells: [name, count(n), count(failed), duration(p50_us), duration(p95_us)],
  });
  return [
    h('h2', {}, 'On trial'),
    h(
      'p',
      {},
      `Generation ${generation} gets ${visible(share)} of the calls, for ${since(at)}: ${visible(verdict)}.`,
    ),
    table(
      'Both since the trial began',
      [['Deployment'], ['Calls', 'number'], ['Failed', 'number'], ['p50', 'number'], ['p95', 'number']],
      [side('the one before', old), side('on trial', tried)],
    ),
  ];
}

// The host says which calls failed; there is no second rule of it here.
export const isGood = (call) => !call.failed;

function calls(list) {
  if (list.length === 0)
    return [h('h2', {}, 'Last calls'), h('p', { class: 'note' }, 'None that a host still knows.')];
  return [
    h('h2', {}, 'Last calls'),
    table(
      'The last calls, the latest first',
      [
        ['Call'],
        ['At'],
        ['Request', 'text'],
        ['Status', 'number'],
        ['Ended'],
        ['Took', 'number'],
        ['Most of it', 'least'],
        ['Fuel', 'number least'],
        ['Memory', 'number least'],
        ['Host', 'least'],
      ],
      list.toReversed().map((call) => ({
        key: call.id,
        class: isGood(call) ? null : 'failed',
        cells: [
          h(
            'span',
            { 'data-row': '' },
            h('a', { href: `#/call/${encodeURIComponent(call.id)}` }, visible(call.id.slice(0, 8))),
          ),
          clock(call.at),
          `${visible(call.method)} ${visible(call.path)}`,
          call.status,
          visible(call.cause),
          duration(call.duration_us),
          visible(longest(call)),
          count(call.fuel),
          bytes(call.memory_bytes),
          visible(call.host ?? ''),
        ],
      })),
    ),
  ];
}

function longest({ time_us: time }) {
  const [first] = Object.entries(time).sort(([, one], [, other]) => other - one);
  return first ? first[0] : '';
}

function destinations(list) {
  return (
    list.length > 0 && [
      h('h2', {}, 'Whom it asked'),
      table(
        'Whom it asked, and what came of it',
        [
          ['Destination', 'text'],
          ['Requests', 'number'],
          ['Failed', 'number'],
          ['5xx', 'number'],
          ['p50', 'number'],
          ['p95', 'number'],
          ['Waited', 'number least'],
          ['Last failure', 'text least'],
        ],
        list.map((to) => ({
          key: to.destination,
          class: to.failed + to.errors > 0 ? 'failed' : null,
          cells: [
            visible(to.destination),
            count(to.requests),
            count(to.failed),
            count(to.errors),
            duration(to.p50_us),
            duration(to.p95_us),
            duration(to.waited_us),
            to.last_error
              ? `${visible(to.last_error.end)} ${since(to.last_error.at)} ago: ${visible(to.last_error.why)}`
              : '',
          ],
        })),
      ),
    ]
  );
}

function replicas(told) {
  return (
    told && [
      h('h2', {}, 'Where it runs'),
      told.lacks &&
        h('p', { class: 'warning' }, `${told.wanted} wanted, ${told.ready} ready: ${visible(told.lacks)}`),
      table(
        'Where it runs',
        [['Host'], ['State'], ['Generation', 'number'], ['Since', 'number'], ['Why there', 'text least']],
        told.hosts.map((on) => ({
          key: on.host,
          cells: [
            visible(on.host),
            state(on.state, on.state === 'ready'),
            on.generation ?? '',
            on.placed ? since(on.placed.at) : '',
            visible(on.placed?.why ?? ''),
          ],
        })),
      ),
    ]
  );
}

function deployments(list) {
  return [
    h('h2', {}, 'Deployments'),
    table(
      'Deployments, the newest first',
      [
        ['Generation'],
        ['Version', 'text'],
        ['Component'],
        ['Kind', 'least'],
        ['Size', 'number'],
        ['Age', 'number'],
        ['Served'],
      ],
      list.map((one) => ({
        key: String(one.generation),
        cells: [
          one.generation,
          visible(one.version ?? ''),
          shortDigest(one.component),
          visible(one.kind),
          bytes(one.size_bytes),
          since(one.deployed_at),
          one.current ? 'now' : '',
        ],
      })),
    ),
  ];
}

function events(list) {
  return (
    list.length > 0 && [
      h('h2', {}, 'What happened'),
      table(
        'What happened, the latest first',
        [['At'], ['Kind'], ['What', 'text'], ['Times', 'number'], ['What to do', 'text least']],
        list.toReversed().map((event) => ({
          key: `${event.host ?? ''} ${event.id}`,
          class: event.severity === 'info' ? null : 'failed',
          cells: [
            clock(event.at),
            visible(event.kind),
            visible(event.message),
            count(event.count),
            visible(event.advice ?? ''),
          ],
        })),
      ),
    ]
  );
}

export function printed(lines) {
  return (
    lines.length > 0 && [
      h('h2', {}, 'What it printed'),
      region(
        'What it printed',
        {},
        h(
          'pre',
          {},
          lines.map((line) => [h('span', { class: 'note' }, `${clock(line.at)} `), `${visible(line.text)}\n`]),
        ),
      ),
    ]
  );
}

function manifest(text) {
  return (
    text &&
    h(
      'details',
      {},
      h('summary', {}, 'Its manifest'),
      region('Its manifest', {}, h('pre', {}, visible(text, true))),
    )
  );
}
