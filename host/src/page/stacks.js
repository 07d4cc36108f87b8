// Makes a tree and shares of the stacks of a profile, as core::profile does for the command line.
// Draws nothing: flame.js does.

// A change counts as one where chance alone makes less of it in all but three of a thousand cases: so many standard
// deviations of the difference of two shares.
const DEVIATIONS = 3;

// What stands for the stacks that are counted and not kept; the words of core::profile.
const OTHER = '[other stacks]';

// A function where it was called from. Samples are its own with those of what it called; `before` are those of
// the deployment that it is compared with.
function node(parent, name) {
  return { parent, name, samples: 0, own: 0, before: 0, ownBefore: 0, called: new Map(), children: [] };
}

// The tree of a deployment's stacks, and those of the one that it is compared with.
export function tree(deployment, compared) {
  const root = node(null, 'all');
  for (const [told, all, own] of [
    [deployment, 'samples', 'own'],
    [compared, 'before', 'ownBefore'],
  ]) {
    for (const [names, samples] of told ? stacksOf(told) : []) {
      let at = root;
      at[all] += samples;
      for (const name of names) {
        if (!at.called.has(name)) at.called.set(name, node(at, name));
        at = at.called.get(name);
        at[all] += samples;
      }
      at[own] += samples;
    }
  }
  finish(root, root, 0);
  return root;
}

function* stacksOf({ functions, stacks, left_out: leftOut }) {
  for (const { functions: places, samples } of stacks)
    yield [places.map((place) => functions[place] ?? '?'), samples];
  if (leftOut > 0) yield [[OTHER], leftOut];
}

// Gives each its depth and its shares, and its children an order that stays: that of their names.
function finish(at, root, depth) {
  at.depth = depth;
  at.part = at.samples / Math.max(1, root.samples);
  at.ownPart = at.own / Math.max(1, root.samples);
  at.grown = at.part - at.before / Math.max(1, root.before);
  at.isChance = isChance(at.grown, at.samples + at.before, root);
  at.children = [...at.called.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
  for (const child of at.children) finish(child, root, depth + 1);
}

// Whether a share of these samples of both deployments may have changed so by chance.
function isChance(change, samples, { samples: now, before }) {
  if (now === 0 || before === 0) return true;
  const share = samples / (now + before);
  return Math.abs(change) <= DEVIATIONS * Math.sqrt(share * (1 - share) * (1 / now + 1 / before)) + 1e-9;
}

// Of each function the part in which it ran by itself and that with what it called, and by how much these grew.
// One that calls itself ran once at a time.
export function shares(root) {
  const found = new Map();
  const of = (name) => {
    if (!found.has(name))
      found.set(name, { name, own: 0, total: 0, samples: 0, ownBefore: 0, totalBefore: 0, ownSamples: 0 });
    return found.get(name);
  };
  const [all, allBefore] = [Math.max(1, root.samples), Math.max(1, root.before)];
  const walk = (at, outer) => {
    const share = of(at.name);
    share.ownSamples += at.own + at.ownBefore;
    share.own += at.own / all;
    share.ownBefore += at.ownBefore / allBefore;
    if (!outer.includes(at.name)) {
      share.samples += at.samples;
      share.total += at.samples / all;
      share.totalBefore += at.before / allBefore;
    }
    const inner = [...outer, at.name];
    for (const child of at.children) walk(child, inner);
  };
  for (const child of root.children) walk(child, []);
  return [...found.values()].map((share) => ({
    ...share,
    ownGrown: share.own - share.ownBefore,
    totalGrown: share.total - share.totalBefore,
    isChance: isChance(share.own - share.ownBefore, share.ownSamples, root),
  }));
}

// Which boxes have a function whose name has the text in it, and the part of the samples in which one ran.
export function search(root, text) {
  const wanted = text.trim().toLowerCase();
  const [hits, names] = [new Set(), new Set()];
  let samples = 0;
  const walk = (at, isWithin) => {
    const isHit = at !== root && at.name.toLowerCase().includes(wanted);
    if (isHit) {
      hits.add(at);
      names.add(at.name);
      if (!isWithin) samples += at.samples;
    }
    for (const child of at.children) walk(child, isWithin || isHit);
  };
  if (wanted) walk(root, false);
  return { isAsked: wanted !== '', hits, names, part: samples / Math.max(1, root.samples) };
}
