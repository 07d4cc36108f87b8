// The screen "Hosts": the fleet at a glance, a row for each host.
// Knows what the host that was asked knows, and says where that may be old.

import { h } from './dom.js';
import { age, bytes, cores, many, visible } from './format.js';
import { ask } from './host.js';
import { diagnosis, facts, meter, state, table } from './parts.js';

export const title = () => 'Hosts';
export const every = 3000;

export async function load() {
  const [fleet, asked, why] = await Promise.all([ask('/v1/hosts'), ask('/v1/host'), ask('/v1/why?host=*')]);
  return { fleet, asked, why };
}

const COLUMNS = [
  ['Host'],
  ['State'],
  ['Standing'],
  ['Zone', 'least'],
  ['CPU', 'number'],
  ['Memory', 'number'],
  ['Replicas', 'number'],
  ['Ready', 'number'],
  ['Version', 'least'],
  ['Certificate', 'least'],
];

const isLost = (host) => host.lost_seconds !== null && host.lost_seconds !== undefined;

export function show({ fleet, asked, why }) {
  const there = fleet.hosts.filter((host) => !isLost(host));
  const sum = (key) => there.reduce((all, host) => all + host[key], 0);
  return [
    h('h1', { tabindex: '-1' }, 'Hosts'),
    !fleet.store_answers &&
      h(
        'p',
        { class: 'warning' },
        `${visible(fleet.asked)} does not hear of the store`,
        fleet.store_silent_seconds !== null && `, for ${age(fleet.store_silent_seconds)} by now`,
        ': this is what it knew last.',
      ),
    fleet.frozen &&
      h(
        'p',
        { class: 'warning' },
        `Nothing is planned, for ${age(fleet.frozen.seconds)} by now${fleet.frozen.why ? ` (${visible(fleet.frozen.why)})` : ''}.`,
      ),
    fleet.trouble && h('p', { class: 'warning' }, visible(fleet.trouble)),
    facts([
      ['Hosts', `${there.length} of ${fleet.hosts.length} there`],
      ['CPU', `${cores(sum('cpu_used_millicores') / 1000)} of ${cores(sum('cpu_millicores') / 1000)} cores`],
      ['Memory', `${bytes(sum('memory_used_bytes'))} of ${bytes(sum('memory_bytes'))}`],
      ['Apps', many(asked.apps, 'app')],
      ['Asked', `${visible(fleet.asked)}, version ${visible(asked.version)}, up ${age(asked.uptime_s)}`],
      ['Instances there', `${asked.slots_used} of ${asked.slots_total}`],
      ['Callers there', many(asked.connections, 'connection')],
    ]),
    why.diagnoses.map(diagnosis),
    table(`Hosts as ${visible(fleet.asked)} sees them`, COLUMNS, fleet.hosts.map(row)),
  ];
}

function row(host) {
  const word = isLost(host) ? `lost ${age(host.lost_seconds)} ago` : host.state;
  const of = (used, whole, say) => [meter(used, whole), ` ${say(used)} of ${say(whole)}`];
  const days = host.certificate?.days_left;
  return {
    key: host.host,
    cells: [
      visible(host.host),
      [
        state(word, host.state === 'answers' && !isLost(host)),
        host.why && h('span', { class: 'note' }, ` ${visible(host.why)}`),
      ],
      visible(host.standing),
      visible(host.zone),
      of(host.cpu_used_millicores / 1000, host.cpu_millicores / 1000, cores),
      of(host.memory_used_bytes, host.memory_bytes, bytes),
      host.replicas,
      host.ready,
      visible(host.version),
      days === undefined ? '' : `${many(days, 'day')} left`,
    ],
  };
}
