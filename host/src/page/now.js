// The screen "Now": what is wrong, the evidence, what to do, and the command for it.
// Judges nothing: the host does.

import { h } from './dom.js';
import { many, since, visible } from './format.js';
import { ask } from './host.js';
import { appLink, evidence, remedy, unanswered } from './parts.js';

export const title = () => 'Now';
export const every = 2000;

export const load = () => ask('/v1/problems?host=*');

export function show({ problems, sources }) {
  const open = problems.filter((problem) => problem.state === 'open');
  const others = problems.filter((problem) => problem.state !== 'open');
  return [
    h('h1', { tabindex: '-1' }, 'Now'),
    unanswered(sources),
    open.length === 0 && h('p', { class: 'well' }, well(others.length, sources)),
    open.map(card),
    others.length > 0 && h('h2', {}, 'Not known to be over'),
    others.map(card),
  ];
}

// For who does not see the page change.
export function announce({ problems }) {
  const open = problems.filter((problem) => problem.state === 'open').length;
  return open === 0 ? 'All is well' : many(open, 'problem');
}

function well(nOthers, sources) {
  if ((sources?.unanswered ?? []).length > 0) return 'No problem on the hosts that answered.';
  if (nOthers > 0) return 'Nothing is known to be wrong now.';
  return sources ? `All is well on ${many(sources.hosts.length, 'host')}.` : 'All is well.';
}

function card(problem) {
  const { app, claim, hosts, kind, state } = problem;
  const where = hosts.length > 0 ? `on ${hosts.map((host) => visible(host)).join(', ')}` : null;
  const open = problem.since && `for ${since(problem.since)}`;
  return h(
    'article',
    { class: 'problem', 'data-key': `${kind} ${app ?? ''} ${app ? '' : hosts.join()}` },
    h('h2', { class: 'claim' }, visible(claim)),
    h(
      'p',
      { class: 'note' },
      [visible(state), open, where].filter(Boolean).join(' '),
      app && [' · ', h('span', { 'data-row': '' }, appLink(app))],
    ),
    state === 'unmeasured' &&
      h(
        'p',
        { class: 'warning' },
        'Nobody has called it since, so whether it is over is not known',
        problem.last_at && `; its last failure is ${since(problem.last_at)} ago`,
        '.',
      ),
    evidence(problem.evidence),
    problem.symptoms.length > 0 &&
      h(
        'p',
        {},
        h('span', { class: 'word' }, 'So '),
        problem.symptoms.map((symptom) => visible(symptom)).join('; '),
      ),
    remedy(problem.remedy),
  );
}
