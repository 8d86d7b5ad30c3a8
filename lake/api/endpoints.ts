import type { Env, Hono } from 'hono';

/** What is answered, as `GET /api/v1/query`: for tests that try each with every kind of credential. */
export const endpointsOf = <E extends Env>(app: Hono<E>): string[] => {
  const found = app.routes
    .filter(({ method, path }) => method !== 'ALL' && !path.endsWith('*'))
    .map(({ method, path }) => `${method} ${path}`);
  return [...new Set(found)].toSorted();
};
