// Asks the control API of this host, and signs in and out. Besides signing in and out it only reads.
// Shows nothing: it says what came, or why nothing did.

// The half of the session that scripts keep, under this name, which is that of its header as well; the other half
// is a cookie that they cannot read.
const KEY = 'steerage-session-key';
// A host that asks all others answers within seconds, or says who did not.
const PATIENCE = 30_000;

// The host wants to be shown the token first.
export class SignInNeeded extends Error {}

export const hasSession = () => localStorage.getItem(KEY) !== null;

export async function ask(path) {
  const response = await send('GET', path);
  return response.json();
}

// The same, or null where there is no such thing: not all hosts keep a history.
export async function askIfThere(path) {
  try {
    return await ask(path);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

export async function signIn(token) {
  localStorage.removeItem(KEY);
  const response = await send('POST', '/v1/session', JSON.stringify({ token }));
  localStorage.setItem(KEY, (await response.json()).key);
}

export async function signOut() {
  try {
    await send('DELETE', '/v1/session');
  } finally {
    localStorage.removeItem(KEY);
  }
}

async function send(method, path, body) {
  const key = localStorage.getItem(KEY);
  const headers = { accept: 'application/json' };
  if (key) headers[KEY] = key;
  if (body) headers['content-type'] = 'application/json';
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body,
      cache: 'no-store',
      redirect: 'error',
      signal: AbortSignal.timeout(PATIENCE),
    });
  } catch (error) {
    throw new Error(
      error.name === 'TimeoutError'
        ? `the host did not answer within ${PATIENCE / 1000}s`
        : 'the host cannot be reached',
      { cause: error },
    );
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const detail = problem.detail ?? `the host answered ${response.status}`;
  if (response.status === 401) throw new SignInNeeded(detail);
  throw Object.assign(new Error(detail), { status: response.status });
}
